using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using System.Text.Json;
using Overlay.Cli.Shell;
using Overlay.Rpc;

namespace Overlay.Cli.Explaining;

/// <summary><c>overlay explain</c>: what would become of a packet, stage by stage, told by the code that packets go through.</summary>
internal static class ExplainCommand
{
    /// <summary>Exit status of a packet that is not delivered.</summary>
    public const int Dropped = 2;

    private static readonly string[] EcnNames = ["not-ect", "ect1", "ect0", "ce"];

    public static Command Create(TextWriter output, TextWriter errors)
    {
        var to = new Option<IPAddress?>("--to") { Description = "Inner destination.", HelpName = "ADDRESS", CustomParser = RouteCommand.ParseAddress };
        var from = new Option<IPAddress?>("--from") { Description = "Inner source; default: the device's address.", HelpName = "ADDRESS", CustomParser = RouteCommand.ParseAddress };
        var by = new Option<string?>("--by")
        {
            Description = "The pod's end on this host that it comes by (see 'overlay pods'); default: that of the pod whose address the source is.",
            HelpName = "INTERFACE",
        };
        var protocol = new Option<byte?>("--proto") { Description = "tcp, udp, icmp or a number; default: icmp.", HelpName = "NAME", CustomParser = RouteCommand.ParseProtocol };
        var sourcePort = new Option<ushort?>("--sport") { Description = "Of TCP and UDP; default: 40000.", HelpName = "PORT" };
        var destinationPort = new Option<ushort?>("--dport") { Description = "Of TCP and UDP; default: 80.", HelpName = "PORT" };
        var length = new Option<int?>("--len") { Description = "Bytes of the IP packet; default: headers, and 56 unless it is a SYN.", HelpName = "BYTES" };
        var dontFragment = new Option<bool>("--df") { Description = "IPv4: not to be fragmented." };
        var ecn = new Option<byte>("--ecn") { Description = "not-ect, ect0, ect1 or ce; default: not-ect.", HelpName = "MARK", CustomParser = ParseEcn };
        var dscp = new Option<byte>("--dscp") { Description = "From 0 to 63; default: 0.", HelpName = "N", CustomParser = ParseDscp };
        var hops = new Option<byte?>("--ttl") { Description = "TTL or hop limit; default: 64.", HelpName = "N" };
        var size = new Option<int?>("--gso") { Description = "A TCP or UDP super-packet, with segments of so many bytes of payload; of a captured frame, where its capture does not tell.", HelpName = "BYTES" };
        var mss = new Option<int?>("--mss") { Description = "A TCP SYN that offers this MSS.", HelpName = "BYTES" };
        var segment = new Option<string?>("--segment") { Description = "Where the packet comes from; default: the segment with the longest prefix.", HelpName = "NAME" };
        var fromMac = new Option<string?>("--from-mac") { Description = "Source MAC; default: the device's.", HelpName = "MAC" };
        var toMac = new Option<string?>("--to-mac") { Description = "Destination MAC; default: the one that the device sends to.", HelpName = "MAC" };
        var read = new Option<string?>("--read") { Description = "A frame from a capture file, pcap or pcapng, instead; N counts from 1.", HelpName = "FILE[:N]" };
        var at = new Option<string?>("--at")
        {
            Description = "Ask the peer's own daemon what it does with the packets: NODE.sock beside this daemon's socket, or the socket given.",
            HelpName = "NODE[=SOCKET]",
        };
        var hex = new Option<bool>("--hex") { Description = "Print the outer packets whole." };
        Option<bool> json = LocalApiCommand.JsonOption();
        Option<string> socket = LocalApiCommand.SocketOption();
        protocol.CompletionSources.Add("tcp", "udp", "icmp");
        ecn.CompletionSources.Add([.. EcnNames]);
        KnownNames.OfferPeers(at, socket);
        KnownNames.OfferSegments(segment, socket);
        KnownNames.OfferInterfaces(by, socket);
        var command = new Command("explain", "Explain what would become of a packet, stage by stage; ends with 0 where it is delivered, 2 where it is dropped.")
        {
            from, to, by, protocol, sourcePort, destinationPort, length, dontFragment, ecn, dscp, hops, size, mss, segment, fromMac, toMac, read, at, hex, json, socket,
        };
        command.Validators.Add(result =>
        {
            bool hasFrame = result.GetResult(read) is not null;
            if (!hasFrame && result.GetResult(to) is null) result.AddError("which packet? give --to ADDRESS, or a captured frame with --read FILE");
            if (!hasFrame) return;
            Option[] made = [from, to, protocol, sourcePort, destinationPort, length, dontFragment, ecn, dscp, hops, mss, fromMac, toMac];
            if (Array.Find(made, option => result.GetResult(option) is { Implicit: false }) is { } extra)
                result.AddError($"{extra.Name} is for a packet that is made up, and --read gives one; leave out one of the two");
        });
        command.SetAction((parsed, cancellation) =>
        {
            string? frame = null;
            int? captured = null;
            if (parsed.GetValue(read) is { } file && !CapturedPacket.TryRead(file, errors, out frame, out captured)) return Task.FromResult(1);
            var question = new ExplainQuestion
            {
                Segment = parsed.GetValue(segment),
                Frame = frame,
                To = parsed.GetValue(to)?.ToString(),
                From = parsed.GetValue(from)?.ToString(),
                Interface = parsed.GetValue(by),
                Protocol = parsed.GetValue(protocol),
                SourcePort = parsed.GetValue(sourcePort),
                DestinationPort = parsed.GetValue(destinationPort),
                Length = parsed.GetValue(length),
                DontFragment = parsed.GetValue(dontFragment),
                TrafficClass = (byte)((parsed.GetValue(dscp) << 2) | parsed.GetValue(ecn)),
                TimeToLive = parsed.GetValue(hops),
                SegmentSize = parsed.GetValue(size) ?? captured,
                Mss = parsed.GetValue(mss),
                FromMac = parsed.GetValue(fromMac),
                ToMac = parsed.GetValue(toMac),
            };
            return RunAsync(parsed.GetValue(socket)!, question, parsed.GetValue(at), parsed.GetValue(json), parsed.GetValue(hex), output, errors, cancellation);
        });
        return command;
    }

    /// <returns>0 when the packet is delivered, 1 when a daemon could not be asked, <see cref="Dropped"/> when it is not delivered.</returns>
    public static async Task<int> RunAsync(
        string socket, ExplainQuestion question, string? at, bool asJson, bool inFull, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        ExplanationDocument? explained = null;
        int code = await LocalApiCommand.AskAsync(
            socket, async (client, deadline) => explained = await client.ExplainAsync(question, deadline).ConfigureAwait(false), errors, cancellation).ConfigureAwait(false);
        if (code != 0) return code;
        if (at is not null)
        {
            code = await AskPeerAsync(at, socket, explained!, arrivals => explained = explained! with { Arrivals = arrivals }, errors, cancellation).ConfigureAwait(false);
            if (code != 0) return code;
        }
        if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(explained, StatusJson.Default.ExplanationDocument)).ConfigureAwait(false);
        else ExplainReport.Write(explained!, inFull, output);
        return explained!.Delivered ? 0 : Dropped;
    }

    /// <summary>Puts what the daemon of a peer tells in the place of what was assumed of it.</summary>
    private static async Task<int> AskPeerAsync(
        string at, string socket, ExplanationDocument explained, Action<IReadOnlyList<ArrivalDocument>> use, TextWriter errors, CancellationToken cancellation)
    {
        int equals = at.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? at : at[..equals];
        string its = equals < 0 ? Path.Combine(Path.GetDirectoryName(socket) ?? "", $"{name}.sock") : at[(equals + 1)..];
        string[] packets = [.. explained.Outer.Where(packet => packet.Peer == name).Select(packet => packet.Bytes)];
        if (packets.Length == 0)
        {
            string goesTo = explained.Outer.Count == 0 ? "to no peer" : $"to {string.Join(", ", explained.Outer.Select(packet => packet.Peer).Distinct())}";
            await errors.WriteLineAsync($"overlay: the packet does not go to '{name}' but {goesTo}; its daemon is not asked").ConfigureAwait(false);
            return 0;
        }
        if (equals < 0 && !File.Exists(its))
        {
            await errors.WriteLineAsync(
                $"overlay: '{name}' is another host, and its daemon is asked through a socket of this one, which is not there: {its}; bring it here (ssh -nNT -L {its}:{LocalApi.DefaultSocket} root@{name}), or give --at {name}=SOCKET").ConfigureAwait(false);
            return 1;
        }
        return await LocalApiCommand.AskAsync(
            its,
            async (client, deadline) =>
            {
                ArrivalDocument told = await client.ExplainArrivalAsync(new ArrivalQuestion(packets), deadline).ConfigureAwait(false);
                if (told.Node != name) throw new LocalApiException($"{its} is the socket of '{told.Node}', not of '{name}'; give --at {told.Node}={its}, or another socket");
                use([.. explained.Arrivals.Select(arrival => arrival.Node == name ? told : arrival)]);
            },
            errors, cancellation).ConfigureAwait(false);
    }

    private static byte ParseEcn(ArgumentResult argument)
    {
        int mark = Array.IndexOf(EcnNames, argument.Tokens[0].Value);
        if (mark >= 0) return (byte)mark;
        argument.AddError($"'{argument.Tokens[0].Value}' is no ECN mark; write {string.Join(", ", EcnNames)}");
        return 0;
    }

    private static byte ParseDscp(ArgumentResult argument)
    {
        if (byte.TryParse(argument.Tokens[0].Value, out byte dscp) && dscp < 64) return dscp;
        argument.AddError($"'{argument.Tokens[0].Value}' is no DSCP; give a number from 0 to 63");
        return 0;
    }
}
