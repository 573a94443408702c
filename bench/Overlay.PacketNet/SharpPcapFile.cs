using SharpPcap;
using SharpPcap.LibPcap;

namespace Overlay.PacketNet;

/// <summary>A capture file as SharpPcap, and so libpcap, reads it.</summary>
public static class SharpPcapFile
{
    /// <returns>The captured bytes of each frame, in order.</returns>
    public static IEnumerable<byte[]> ReadAll(string path)
    {
        using var device = new CaptureFileReaderDevice(path);
        device.Open();
        while (device.GetNextPacket(out PacketCapture capture) == GetPacketStatus.PacketRead) yield return capture.Data.ToArray();
    }
}
