namespace Overlay.Testing.Captures;

/// <summary>A capture file for the time of a test.</summary>
public sealed class CaptureOnDisk : IDisposable
{
    public CaptureOnDisk(byte[] file) => File.WriteAllBytes(Path, file);

    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"overlay-{Guid.NewGuid():n}.pcap");

    public void Dispose() => File.Delete(Path);
}
