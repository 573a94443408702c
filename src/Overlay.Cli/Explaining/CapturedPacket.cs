using System.Globalization;
using Overlay.Wire.Capture;

namespace Overlay.Cli.Explaining;

/// <summary>A single frame of a capture file.</summary>
internal static class CapturedPacket
{
    /// <param name="file">Path of a capture, and behind a colon which frame of it, from 1; without, the first.</param>
    /// <param name="errors">Gets what is wrong, and what to do.</param>
    /// <param name="frame">In hexadecimal.</param>
    public static bool TryRead(string file, TextWriter errors, out string? frame)
    {
        frame = null;
        long wanted = 1;
        string path = file;
        int colon = file.LastIndexOf(':');
        if (!File.Exists(file) && colon > 0 && long.TryParse(file.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long number))
            (path, wanted) = (file[..colon], number);
        try
        {
            using FileStream stream = File.OpenRead(path);
            CaptureReader reader = CaptureReader.Open(stream);
            long count = 0;
            while (reader.TryRead(out CapturedFrame captured))
            {
                if (++count != wanted) continue;
                if (captured.LinkType != CaptureReader.EthernetLinkType)
                    errors.WriteLine($"overlay: {path}: frame {wanted} is of link type {captured.LinkType}, and a device has Ethernet frames (link type 1); capture at an interface, not at 'any'");
                else if (captured.CapturedLength < captured.Length)
                    errors.WriteLine($"overlay: {path}: frame {wanted} was cut to {captured.CapturedLength} of {captured.Length} bytes; capture whole frames (tcpdump -s 0)");
                else
                    frame = Convert.ToHexStringLower(captured.Data);
                return frame is not null;
            }
            errors.WriteLine($"overlay: {path} has {count} frames and no frame {wanted}; give FILE:N with N from 1 to {count}");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or CaptureFormatException)
        {
            errors.WriteLine($"overlay: {path}: {exception.Message}; give a capture file, pcap or pcapng");
        }
        return false;
    }
}
