using Microsoft.Extensions.Logging;
using Overlay.Linux;

namespace Overlay.Agent.Setup;

/// <summary>
/// What has been done to the host and how to take it back, last first, unless <see cref="Commit"/> is called. Taking back goes on past a step
/// that the kernel refuses, which is logged.
/// </summary>
internal sealed class UndoStack(ILogger log) : IDisposable
{
    private readonly Stack<Action> _steps = [];

    public void Push(Action undo) => _steps.Push(undo);

    /// <summary>What was done stays.</summary>
    public void Commit() => _steps.Clear();

    public void Dispose()
    {
        while (_steps.TryPop(out Action? undo))
        {
            try
            {
                undo();
            }
            catch (LinuxException exception)
            {
                log.LogError("cannot be taken back: {Problem}", exception.Message);
            }
        }
    }
}
