using System.Globalization;
using System.Text.RegularExpressions;
using Overlay.Cli.Shell;
using Overlay.Wire.Capture;

namespace Overlay.Cli.Explaining;

/// <summary>A single frame of a capture file.</summary>
internal static partial class CapturedPacket
{
    /// <summary>Number of the interface with packets of the underlay, in what <c>overlay capture</c> writes.</summary>
    private const int Outer = 1;

    /// <param name="file">Path of a capture, and behind a colon which frame of it, from 1; without, the first.</param>
    /// <param name="errors">Gets what is wrong, and what to do.</param>
    /// <param name="frame">In hexadecimal.</param>
    /// <param name="segmentSize">Payload bytes of each segment, where <c>overlay capture</c> says that it is a super-packet.</param>
    public static bool TryRead(string file, TextWriter errors, out string? frame, out int? segmentSize)
    {
        frame = null;
        segmentSize = null;
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
                else if (captured is { InterfaceNumber: Outer, Comment: { } comment } && comment.StartsWith("segment=", StringComparison.Ordinal))
                    errors.WriteLine($"overlay: {path}: frame {wanted} is an outer packet, and a device has inner ones; give the inner frame beside it, or capture with --at inner");
                else
                    (frame, segmentSize) = (Convert.ToHexStringLower(captured.Data), SegmentSizeOf(captured.Comment));
                return frame is not null;
            }
            errors.WriteLine($"overlay: {path} has {count} frames and no frame {wanted}; give FILE:N with N from 1 to {count}");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or CaptureFormatException)
        {
            errors.WriteLine($"overlay: {path}: {Refusal.Cause(exception)}; give a capture file, pcap or pcapng");
        }
        return false;
    }

    private static int? SegmentSizeOf(string? comment) =>
        comment is not null && SuperPacket().Match(comment) is { Success: true } match ? int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) : null;

    [GeneratedRegex("^segment=.* super-packet=[0-9]+/([0-9]{1,5})$")]
    private static partial Regex SuperPacket();
}
