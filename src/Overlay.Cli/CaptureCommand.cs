using System.CommandLine;
using System.Globalization;
using Microsoft.Win32.SafeHandles;
using Overlay.Cli.Shell;
using Overlay.Rpc;
using Overlay.Wire.Capture;

namespace Overlay.Cli;

/// <summary><c>overlay capture</c>: packets of this node, inner and outer, with what became of each.</summary>
internal static class CaptureCommand
{
    private const int CopyBytes = 128 << 10;

    /// <summary>EPIPE, which .NET keeps in <see cref="Exception.HResult"/>.</summary>
    public const int BrokenPipe = 32;

    /// <summary>How long the daemon may take to complete a file.</summary>
    private static readonly TimeSpan EndDeadline = TimeSpan.FromSeconds(5);

    private static readonly Dictionary<string, byte> Protocols = new(StringComparer.OrdinalIgnoreCase)
    {
        ["icmp"] = 1,
        ["ipip"] = 4,
        ["tcp"] = 6,
        ["udp"] = 17,
        ["ipv6"] = 41,
        ["gre"] = 47,
        ["esp"] = 50,
        ["icmpv6"] = 58,
        ["icmp6"] = 58,
        ["ospf"] = 89,
        ["sctp"] = 132,
    };

    /// <summary>Standard output that tells when nobody reads it any more, which that of the console does not.</summary>
    public static Stream OpenOutput()
    {
        var stream = new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        // In a file it would write at places of its own, and whoever writes there next over it.
        return stream.CanSeek ? Console.OpenStandardOutput() : stream;
    }

    /// <param name="openOutput">Where lines and, for <c>-w -</c>, the file go; throws when nobody reads.</param>
    public static Command Create(Func<Stream> openOutput, TextWriter errors)
    {
        var peer = new Option<string?>("--peer") { Description = "Only packets to and from this peer.", HelpName = "NAME" };
        var segment = new Option<string?>("--segment") { Description = "Only packets of this segment.", HelpName = "NAME" };
        var host = new Option<string?>("--host") { Description = "Only packets from or to this address or prefix, inner or outer.", HelpName = "ADDRESS" };
        var port = new Option<ushort?>("--port") { Description = "Only inner TCP and UDP packets from or to this port.", HelpName = "N" };
        var proto = new Option<string?>("--proto") { Description = "Only packets of this inner IP protocol: tcp, udp, icmp, icmpv6, or a number.", HelpName = "PROTO" };
        var dropped = new Option<bool>("--dropped") { Description = "Only packets that were dropped; the comment says why." };
        var at = new Option<string?>("--at") { Description = "Only inner packets (segments' devices) or only outer ones (underlay).", HelpName = "inner|outer" };
        at.AcceptOnlyFromAmong("inner", "outer");
        var count = new Option<int?>("--count") { Description = "End after so many packets.", HelpName = "N", CustomParser = Numbers.Between(1, int.MaxValue) };
        var snap = new Option<int?>("--snaplen") { Description = "Keep so many bytes of a packet at most.", HelpName = "BYTES", CustomParser = Numbers.Between(64, 262_144) };
        var segmented = new Option<bool>("--segmented") { Description = "Show super-packets as the packets that they stand for." };
        var ring = new Option<bool>("--ring") { Description = "Print the latest packets, and those dropped, that the daemon always keeps." };
        var file = new Option<string?>("-w", "--write") { Description = "Write a pcapng file instead of lines; - is standard output.", HelpName = "FILE" };
        Option<string> socket = LocalApiCommand.SocketOption();
        KnownNames.OfferPeers(peer, socket);
        KnownNames.OfferSegments(segment, socket);
        proto.CompletionSources.Add([.. Protocols.Keys]);
        var command = new Command("capture", "Capture packets of this node, inner and outer, each with segment, peer, route and verdict.")
        {
            peer, segment, host, port, proto, dropped, at, count, snap, segmented, ring, file, socket,
        };
        command.SetAction((parsed, cancellation) =>
        {
            byte? protocol = null;
            if (parsed.GetValue(proto) is { } name)
            {
                if (Protocols.TryGetValue(name, out byte known) || byte.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out known)) protocol = known;
                else
                {
                    errors.WriteLine($"overlay: --proto '{name}' is not known; use {string.Join(", ", Protocols.Keys)}, or a number from 0 to 255");
                    return Task.FromResult(1);
                }
            }
            var query = new List<(string Key, string? Value)>
            {
                (LocalApi.PeerQuery, parsed.GetValue(peer)),
                (LocalApi.SegmentQuery, parsed.GetValue(segment)),
                (LocalApi.HostQuery, parsed.GetValue(host)),
                (LocalApi.PortQuery, Number(parsed.GetValue(port))),
                (LocalApi.ProtocolQuery, Number(protocol)),
                (LocalApi.DroppedQuery, parsed.GetValue(dropped) ? "true" : null),
                (LocalApi.AtQuery, parsed.GetValue(at)),
                (LocalApi.CountQuery, Number(parsed.GetValue(count))),
                (LocalApi.SnapLengthQuery, Number(parsed.GetValue(snap))),
                (LocalApi.SegmentedQuery, parsed.GetValue(segmented) ? "true" : null),
                (LocalApi.RingQuery, parsed.GetValue(ring) ? "true" : null),
            };
            string path = $"{LocalApi.CapturePath}?{string.Join('&', query.Where(each => each.Value is not null).Select(each => $"{each.Key}={Uri.EscapeDataString(each.Value!)}"))}";
            return RunAsync(parsed.GetValue(socket)!, path, parsed.GetValue(file), openOutput, errors, cancellation);
        });
        return command;
    }

    /// <returns>0 when the capture was written to its end, by the daemon or by an interrupt; 1 when it could not be.</returns>
    private static async Task<int> RunAsync(
        string socket, string path, string? file, Func<Stream> openOutput, TextWriter errors, CancellationToken cancellation)
    {
        try
        {
            using var client = new LocalApiClient(socket);
            using RunningCapture capture = await client.CaptureAsync(path, cancellation).ConfigureAwait(false);
            using CancellationTokenRegistration interrupted = cancellation.Register(() => capture.End(EndDeadline));
            using Stream packets = capture.Packets;
            // Opened once it is known that there is something to write.
            using Stream target = file is null or "-" ? openOutput() : new FileStream(file, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
            if (file is null)
            {
                using var lines = new StreamWriter(target);
                await Task.Run(() => CaptureLines.Write(packets, lines), CancellationToken.None).ConfigureAwait(false);
                return 0;
            }
            byte[] buffer = new byte[CopyBytes];
            while (await packets.ReadAsync(buffer, CancellationToken.None).ConfigureAwait(false) is var read and > 0)
                await target.WriteAsync(buffer.AsMemory(0, read), CancellationToken.None).ConfigureAwait(false);
            return 0;
        }
        catch (LocalApiException exception)
        {
            await errors.WriteLineAsync($"overlay: {exception.Message}").ConfigureAwait(false);
            return 1;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return 0;
        }
        catch (IOException exception) when (file is null or "-" && exception.HResult == BrokenPipe)
        {
            // Whoever reads our output may end before the capture does.
            return 0;
        }
        catch (Exception exception) when (exception is HttpIOException or CaptureFormatException)
        {
            await errors.WriteLineAsync($"overlay: overlayd at {socket} ended amid the capture, which lacks its end; see its log").ConfigureAwait(false);
            return 1;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            string where = file is null or "-" ? "standard output" : file;
            await errors.WriteLineAsync($"overlay: the capture cannot be written to {where}: {Refusal.Cause(exception)}; give -w a path that can be written and has room").ConfigureAwait(false);
            return 1;
        }
    }

    private static string? Number<T>(T? number)
        where T : struct, IFormattable => number?.ToString(null, CultureInfo.InvariantCulture);
}
