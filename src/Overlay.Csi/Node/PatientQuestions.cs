using System.Diagnostics;
using System.Globalization;

namespace Overlay.Csi.Node;

/// <summary>
/// Questions to file systems, which may never answer: a server that is gone, a disk that hangs. Each is asked on a thread of its own, once at a
/// time, and waited for only so long; the thread of one that is never answered is not joined by another.
/// </summary>
internal sealed class PatientQuestions
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly Dictionary<string, Asked> _asked = new(StringComparer.Ordinal);

    /// <param name="key">What is asked; the same question joins the one that is under way.</param>
    /// <param name="question">Asks.</param>
    /// <param name="hung">The answer for want of one, from a text that says so.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="Rpc.Grpc.GrpcException">As the question tells. INTERNAL: the kernel refused.</exception>
    public async Task<T> AskAsync<T>(string key, Func<T> question, Func<string, T> hung, CancellationToken cancellation)
    {
        Asked asked;
        lock (_asked)
        {
            if (!_asked.TryGetValue(key, out asked!))
            {
                asked = new Asked(VolumeGate.StartAsync(() => Answer(key, question)), Stopwatch.GetTimestamp());
                _asked.Add(key, asked);
            }
        }
        var answer = (Task<T>)asked.Answer;
        TimeSpan left = Patience - Stopwatch.GetElapsedTime(asked.Since);
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (await Task.WhenAny(answer, Task.Delay(left > TimeSpan.Zero ? left : TimeSpan.Zero, enough.Token)).ConfigureAwait(false) == answer)
        {
            await enough.CancelAsync().ConfigureAwait(false);
            return await answer.ConfigureAwait(false);
        }
        cancellation.ThrowIfCancellationRequested();
        return hung(string.Create(
            CultureInfo.InvariantCulture,
            $"its file system has not answered for {Stopwatch.GetElapsedTime(asked.Since).TotalSeconds:0} s: look at the server or the disk behind it"));
    }

    private T Answer<T>(string key, Func<T> question)
    {
        try
        {
            return question();
        }
        finally
        {
            lock (_asked) _asked.Remove(key);
        }
    }

    private sealed record Asked(Task Answer, long Since);
}
