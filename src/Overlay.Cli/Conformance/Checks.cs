using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Overlay.Cli.Conformance;

/// <summary>Proves what a network of pods promises, between here and one address of a server.</summary>
/// <param name="server">In a pod of another node.</param>
/// <param name="node">A server on this node, outside pods; null: there is none.</param>
internal sealed class Checks(IPEndPoint server, IPEndPoint? node)
{
    private const int MostBytes = 65_507;
    private const int OrderedDatagrams = 20_000;
    private const int OrderedPause = 50;
    private const int BulkBytes = 32 << 20;
    private const int Randoms = 200;

    private static readonly string[] EcnNames = ["not-ect", "ect(1)", "ect(0)", "ce"];

    private readonly List<Finding> _findings = [];

    /// <param name="begun">Called with the name of each check as it begins.</param>
    /// <param name="cancellation">Ends all.</param>
    public async Task<FamilyFindings> RunAsync(Action<string> begun, CancellationToken cancellation)
    {
        (string Name, Func<CancellationToken, Task<Finding>> Run)[] checks =
        [
            ("unique address", UniqueAddressAsync), ("pod to pod without NAT", NoTranslationAsync), ("peer to this pod", BackAsync), ("node to pod", NodeAsync),
            ("full MTU", FullMtuAsync), ("one above the MTU", AboveMtuAsync), ("fragments", FragmentsAsync), ("large DNS answers", LargeDnsAsync),
            ("ECN and DSCP", EcnAsync), ("datagrams of any size", AnySizeAsync), ("a wrong checksum", WrongChecksumAsync), ("bytes in bulk", BulkAsync), ("ordering", OrderAsync),
        ];
        foreach ((string name, Func<CancellationToken, Task<Finding>> run) in checks)
        {
            begun(name);
            try
            {
                _findings.Add((await run(cancellation).ConfigureAwait(false)) with { Check = name });
            }
            catch (Exception exception) when (exception is SocketException or InvalidDataException)
            {
                _findings.Add(new Finding(name, "failed", exception.Message));
            }
        }
        return new FamilyFindings(server.AddressFamily == AddressFamily.InterNetwork ? "IPv4" : "IPv6", server.Address.ToString(), _findings);
    }

    private static Finding Passed(string text) => new("", "passed", text);

    private static Finding Failed(string text) => new("", "failed", text);

    private static Finding Skipped(string text) => new("", "skipped", text);

    private static Finding Of(string? trouble, string good) => trouble is null ? Passed(good) : Failed(trouble);

    private static string Number(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    private Task<Reply> AskAsync(Request request, CancellationToken cancellation) => Exchange.AskAsync(server, request, cancellation);

    private async Task<Finding> UniqueAddressAsync(CancellationToken cancellation)
    {
        var ids = new HashSet<string>();
        IReadOnlyList<string> theirs = [];
        for (int i = 0; i < 8; i++)
        {
            Reply hello = await AskAsync(new Request("hello"), cancellation).ConfigureAwait(false);
            ids.Add(hello.Id ?? "");
            theirs = hello.Addresses;
        }
        if (ids.Count > 1) return Failed($"{ids.Count} servers answer for {server.Address}: more than one pod has the address");
        string[] shared = [.. theirs.Intersect(Server.Own())];
        if (shared.Length > 0) return Failed($"both ends have {string.Join(", ", shared)}; run the two in pods of different nodes");
        return theirs.Contains(server.Address.ToString())
            ? Passed($"{server.Address} is the peer's own, and one pod's only")
            : Failed($"the peer does not have {server.Address} itself but {string.Join(", ", theirs)}: it is translated on the way");
    }

    private async Task<Finding> NoTranslationAsync(CancellationToken cancellation)
    {
        using Socket socket = await Exchange.ConnectAsync(server, cancellation).ConfigureAwait(false);
        await Exchange.SendAsync(socket, new Request("hello"), MessageJson.Default.Request, cancellation).ConfigureAwait(false);
        Reply hello = await Exchange.ReadAsync(socket, MessageJson.Default.Reply, cancellation).ConfigureAwait(false);
        var local = (IPEndPoint)socket.LocalEndPoint!;
        return hello.SeenAddress == local.Address.ToString() && hello.SeenPort == local.Port
            ? Passed($"the peer sees {local}, as this end does")
            : Failed($"this end is {local}, and the peer sees {hello.SeenAddress} port {hello.SeenPort}: the source is translated");
    }

    private async Task<Finding> BackAsync(CancellationToken cancellation) => await VisitorAsync(server, cancellation).ConfigureAwait(false) switch
    {
        null => Failed("the peer does not reach this pod within 10 s"),
        var from when from.Equals(server.Address) => Passed($"the peer connects from {from}, its own address"),
        var from => Failed($"the peer connects from {from} and not from {server.Address}: its source is translated"),
    };

    private async Task<Finding> NodeAsync(CancellationToken cancellation)
    {
        if (node is null)
            return Skipped("run 'overlay conformance serve' on this node outside pods as well, and give --node with an address of it");
        Reply reached = await Exchange.AskAsync(node, new Request("reach") { Address = server.Address.ToString(), Port = server.Port }, cancellation).ConfigureAwait(false);
        Reply hello = await AskAsync(new Request("hello"), cancellation).ConfigureAwait(false);
        if (reached.Error is { } error) return Failed($"the node does not reach the peer's pod: {error}");
        if (reached.Id != hello.Id) return Failed("the node reaches another server than this pod does");
        return await VisitorAsync(node, cancellation).ConfigureAwait(false) is { } from
            ? Passed($"the node reaches the peer's pod, which sees {reached.SeenAddress}, and this one, which sees {from}")
            : Failed("the node does not reach this pod within 10 s");
    }

    /// <summary>A server of our own for a moment, which another is told to visit at the address that the peer knows.</summary>
    /// <returns>Whence it came; null: it did not.</returns>
    private async Task<IPAddress?> VisitorAsync(IPEndPoint asked, CancellationToken cancellation)
    {
        using Socket probe = await Exchange.ConnectAsync(server, cancellation).ConfigureAwait(false);
        IPAddress local = ((IPEndPoint)probe.LocalEndPoint!).Address;
        using var listener = new Socket(local.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(local, 0));
        listener.Listen();
        var request = new Request("reach") { Address = local.ToString(), Port = ((IPEndPoint)listener.LocalEndPoint!).Port };
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(TimeSpan.FromSeconds(10));
        try
        {
            Task<Reply> answer = Exchange.AskAsync(asked, request, deadline.Token);
            using Socket visitor = await listener.AcceptAsync(deadline.Token).ConfigureAwait(false);
            await Exchange.ReadAsync(visitor, MessageJson.Default.Request, deadline.Token).ConfigureAwait(false);
            await Exchange.SendAsync(visitor, new Reply { Id = "run" }, MessageJson.Default.Reply, deadline.Token).ConfigureAwait(false);
            await answer.ConfigureAwait(false);
            return ((IPEndPoint)visitor.RemoteEndPoint!).Address;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return null;
        }
    }

    private Task<Finding> FullMtuAsync(CancellationToken cancellation) => Task.Run(
        () =>
        {
            using var probe = new UdpProbe(server) { DontFragment = true };
            for (int attempt = 0; attempt < 8; attempt++)
            {
                int mtu = probe.Mtu;
                string? trouble = probe.Echo(mtu - probe.Headers);
                // What the way carries is learned from the first that is too big.
                if (probe.Mtu < mtu) continue;
                return Of(trouble, $"{Number(mtu)} bytes go there and back in one piece");
            }
            return Failed($"the MTU of the way keeps falling: {Number(probe.Mtu)} bytes now");
        },
        cancellation);

    private Task<Finding> AboveMtuAsync(CancellationToken cancellation) => Task.Run(
        () =>
        {
            using var probe = new UdpProbe(server) { DontFragment = true };
            for (int attempt = 0; attempt < 8; attempt++)
            {
                int mtu = probe.Mtu;
                probe.Echo(mtu - probe.Headers);
                if (probe.Mtu >= mtu) break;
            }
            int above = probe.Mtu + 1;
            string? trouble = probe.Echo(above - probe.Headers);
            if (trouble is null) return Failed($"{Number(above)} bytes came back though the MTU is one less: it is larger than the kernel was told");
            if (trouble != UdpProbe.TooBig) return Failed($"{Number(above)} bytes vanish, and the sender is not told: a black hole");
            probe.DontFragment = false;
            return Of(probe.Echo(above - probe.Headers), $"{Number(above)} bytes with DF: the sender is told; without, they arrive in fragments");
        },
        cancellation);

    private Task<Finding> FragmentsAsync(CancellationToken cancellation) => EchoAllAsync([3000, 8000, 20_000, 60_000, MostBytes], "in fragments", cancellation);

    private Task<Finding> LargeDnsAsync(CancellationToken cancellation) => EchoAllAsync([512, 1220, 1232, 1400, 1452, 4096], "as answers of a DNS server", cancellation);

    private Task<Finding> EchoAllAsync(int[] sizes, string how, CancellationToken cancellation) => Task.Run(
        () =>
        {
            using var probe = new UdpProbe(server) { DontFragment = false };
            return Of(sizes.Select(probe.Echo).FirstOrDefault(trouble => trouble is not null), $"{string.Join(", ", sizes.Select(size => Number(size)))} bytes {how}");
        },
        cancellation);

    private async Task<Finding> EcnAsync(CancellationToken cancellation)
    {
        int[] sent = [0, 1, 2, 3, (46 << 2) | 2];
        using var probe = new UdpProbe(server);
        foreach (int trafficClass in sent)
        {
            probe.TrafficClass = trafficClass;
            if (probe.Echo(200) is { } trouble) return Failed($"traffic class {trafficClass}: {trouble}");
        }
        Reply counted = await AskAsync(new Request("count") { Token = probe.Token }, cancellation).ConfigureAwait(false);
        IReadOnlyList<int> seen = counted.Datagrams?.TrafficClasses ?? [];
        if (seen.Count == 0) return Skipped("the peer's server may not look at IP headers; run it as root");
        int[] distinct = [.. seen.Distinct()];
        return distinct.SequenceEqual(sent)
            ? Passed($"{string.Join(", ", EcnNames)} and DSCP 46 arrive as they were sent")
            : Failed($"sent traffic classes {string.Join(", ", sent)}, arrived {string.Join(", ", distinct)}");
    }

    private Task<Finding> AnySizeAsync(CancellationToken cancellation) => Task.Run(
        () =>
        {
            using var probe = new UdpProbe(server);
            for (int i = 0; i < Randoms; i++)
            {
                int size = RandomNumberGenerator.GetInt32(Datagram.HeaderLength, 3000);
                if (probe.Echo(size) is { } trouble) return Failed(trouble);
            }
            return Passed($"{Number(Randoms)} datagrams of random sizes come back byte for byte");
        },
        cancellation);

    private async Task<Finding> WrongChecksumAsync(CancellationToken cancellation)
    {
        ulong token = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));
        try
        {
            RawDatagram.Send(server, token, isRight: false);
            RawDatagram.Send(server, token, isRight: true);
        }
        catch (SocketException exception) when (exception.SocketErrorCode == SocketError.AccessDenied)
        {
            return Skipped("raw sockets are not allowed here; run as root");
        }
        DatagramCount? count = null;
        for (int attempt = 0; attempt < 20; attempt++)
        {
            count = (await AskAsync(new Request("count") { Token = token }, cancellation).ConfigureAwait(false)).Datagrams;
            if (count is { Received: > 0 }) break;
            await Task.Delay(100, cancellation).ConfigureAwait(false);
        }
        if (count is not { Received: > 0 }) return Failed("the datagram with a right checksum did not arrive either");
        return count.Received == 1 && count.Duplicates == 0
            ? Passed("a datagram with a wrong UDP checksum is not delivered, the same with a right one is")
            : Failed("a datagram with a wrong UDP checksum was delivered: it was put right on the way");
    }

    private async Task<Finding> BulkAsync(CancellationToken cancellation)
    {
        byte[] bytes = new byte[BulkBytes];
        RandomNumberGenerator.Fill(bytes);
        using Socket socket = await Exchange.ConnectAsync(server, cancellation).ConfigureAwait(false);
        await Exchange.SendAsync(socket, new Request("upload"), MessageJson.Default.Request, cancellation).ConfigureAwait(false);
        for (int sent = 0; sent < bytes.Length;) sent += await socket.SendAsync(bytes.AsMemory(sent), cancellation).ConfigureAwait(false);
        socket.Shutdown(SocketShutdown.Send);
        Reply taken = await Exchange.ReadAsync(socket, MessageJson.Default.Reply, cancellation).ConfigureAwait(false);
        return taken.Digest == Convert.ToHexStringLower(SHA256.HashData(bytes))
            ? Passed($"{BulkBytes >> 20} MiB of TCP arrive with the same SHA-256")
            : Failed($"{Number(taken.Bytes)} of {Number(BulkBytes)} bytes of TCP arrived, and not as they were sent");
    }

    private async Task<Finding> OrderAsync(CancellationToken cancellation)
    {
        using var probe = new UdpProbe(server) { DontFragment = false };
        for (int i = 0; i < OrderedDatagrams; i++)
        {
            probe.Count(i % 7 == 0 ? 1200 : 64, i);
            if (i % OrderedPause == 0) await Task.Delay(1, cancellation).ConfigureAwait(false);
        }
        await Task.Delay(200, cancellation).ConfigureAwait(false);
        DatagramCount? count = (await AskAsync(new Request("count") { Token = probe.Token }, cancellation).ConfigureAwait(false)).Datagrams;
        if (count is null || count.Received == 0) return Failed("no datagram arrived");
        string arrived = $"{Number(count.Received)} of {Number(OrderedDatagrams)} datagrams of one flow";
        if (count.Late > 0 || count.Duplicates > 0) return Failed($"{arrived} arrived, {Number(count.Late)} of them late and {Number(count.Duplicates)} twice");
        return Passed($"{arrived} arrived, in order and none twice");
    }
}
