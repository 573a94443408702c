using System.Net;

namespace Overlay.Cli.Conformance;

/// <summary>A whole conformance run.</summary>
/// <param name="plan">What to run.</param>
/// <param name="begun">Called with each thing that begins.</param>
internal sealed class Run(RunPlan plan, Action<string> begun)
{
    /// <exception cref="System.Net.Sockets.SocketException">There is nobody at the other end.</exception>
    /// <exception cref="InvalidDataException">Somebody else is.</exception>
    public async Task<ConformanceReport> ReportAsync(CancellationToken cancellation)
    {
        DateTimeOffset started = DateTimeOffset.UtcNow;
        foreach (IPEndPoint peer in plan.Peers) await Exchange.AskAsync(peer, new Request("hello"), cancellation).ConfigureAwait(false);
        var families = new List<FamilyFindings>();
        foreach (IPEndPoint peer in plan.Peers)
        {
            families.Add(await new Checks(peer, plan.Node).RunAsync(name => begun($"{peer.Address}: {name}"), cancellation).ConfigureAwait(false));
        }
        families.AddRange(Missing(families));
        (IReadOnlyList<Comparison> figures, string note) = await MeasureAsync(cancellation).ConfigureAwait(false);
        return new ConformanceReport(started, Environment.MachineName, families, figures, note, plan.Rounds);
    }

    /// <summary>A family that no address was given of is not proven.</summary>
    private static IEnumerable<FamilyFindings> Missing(List<FamilyFindings> families)
    {
        foreach (string family in new[] { "IPv4", "IPv6" })
        {
            if (families.TrueForAll(each => each.Family != family))
                yield return new FamilyFindings(family, "-", [new Finding("all", "skipped", $"give --peer with an {family} address of the peer as well")]);
        }
    }

    private async Task<(IReadOnlyList<Comparison> Figures, string Note)> MeasureAsync(CancellationToken cancellation)
    {
        if (plan.Rounds == 0) return ([], "nothing was measured (--rounds 0)");
        var overlay = new List<Figures>();
        var underlay = new List<Figures>();
        for (int round = 1; round <= plan.Rounds; round++)
        {
            begun($"measuring the overlay, round {round} of {plan.Rounds}");
            overlay.Add(await Measurement.RunAsync(plan.Peers[0], plan.Seconds, cancellation).ConfigureAwait(false));
            if (plan.Underlay is not { } bare) continue;
            begun($"measuring the underlay, round {round} of {plan.Rounds}");
            underlay.Add(await MeasureUnderlayAsync(bare, cancellation).ConfigureAwait(false));
        }
        Figures there = Measurement.Median(overlay);
        Figures? beneath = underlay.Count == 0 ? null : Measurement.Median(underlay);
        string from = plan.Node is null ? "from here as well" : $"from this node, {plan.Node.Address}";
        string note = plan.Underlay is null
            ? "the underlay was not measured: run 'overlay conformance serve' outside pods on the other node, and give --underlay with its address"
            : $"overlay to {plan.Peers[0].Address}, underlay to {plan.Underlay.Address} {from}; {(plan.Rounds == 1 ? "of one round" : $"medians of {plan.Rounds} rounds in turn")}";
        return (
            [
                new("round trip, 64 bytes, median", "µs", there.LatencyMicroseconds, beneath?.LatencyMicroseconds),
                new("round trip, 64 bytes, 99th percentile", "µs", there.LatencyMicroseconds99, beneath?.LatencyMicroseconds99),
                new("TCP, 1 stream", "bit/s", there.ThroughputBits, beneath?.ThroughputBits),
                new("TCP, 4 streams", "bit/s", there.ParallelBits, beneath?.ParallelBits),
            ],
            note);
    }

    private async Task<Figures> MeasureUnderlayAsync(IPEndPoint bare, CancellationToken cancellation)
    {
        if (plan.Node is null) return await Measurement.RunAsync(bare, plan.Seconds, cancellation).ConfigureAwait(false);
        var request = new Request("measure") { Address = bare.Address.ToString(), Port = bare.Port, Seconds = plan.Seconds };
        Reply reply = await Exchange.AskAsync(plan.Node, request, cancellation).ConfigureAwait(false);
        return reply.Figures ?? throw new InvalidDataException($"the node does not reach the underlay's server: {reply.Error}");
    }
}
