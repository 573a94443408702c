namespace Overlay.Rpc.Hosting;

/// <summary>The path of a Unix socket is taken.</summary>
/// <param name="isListening">By a server that listens; otherwise by a file that is no socket.</param>
public sealed class SocketFileException(string path, bool isListening)
    : Exception(isListening ? $"another server listens on {path}" : $"{path} exists and is no socket")
{
    public bool IsListening { get; } = isListening;
}
