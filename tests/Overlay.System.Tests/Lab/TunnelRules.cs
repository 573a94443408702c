namespace Overlay.SystemTests.Lab;

/// <summary>What every datagram of a sender must be, on a wire.</summary>
internal sealed record TunnelRules
{
    private const int LowestSourcePort = 49152;
    private const int EcnMask = 3;

    public required LabNode Sender { get; init; }

    public required LabNode Receiver { get; init; }

    public required TunnelOptions Tunnel { get; init; }

    public required int UnderlayMtu { get; init; }

    /// <summary>Whether outer UDP checksums are expected; null: over IPv4 either way (RFC 7348, 5), over IPv6 they are.</summary>
    public bool? HasOuterChecksum { get; init; }

    /// <summary>Whether an inner Ethernet header is expected.</summary>
    public bool CarriesEthernet { get; init; } = true;

    /// <summary>Checks a capture.</summary>
    /// <exception cref="InvalidDataException">Rules were broken: says which, how often, and by which frame first.</exception>
    public void Verify(IReadOnlyList<CapturedDatagram> datagrams)
    {
        var ports = new Dictionary<string, int>();
        string[] broken =
        [
            .. datagrams.SelectMany(datagram => Broken(datagram, ports).Select(rule => (Rule: rule, Datagram: datagram)))
                .GroupBy(violation => violation.Rule)
                .Select(group => $"{group.Count()} of {datagrams.Count} not {group.Key}, first {group.First().Datagram}"),
        ];
        if (broken.Length > 0) throw new InvalidDataException(string.Join('\n', broken));
    }

    private IEnumerable<string> Broken(CapturedDatagram datagram, Dictionary<string, int> ports)
    {
        (string Rule, bool Holds)[] rules =
        [
            ("well formed", datagram.Malformed.Length == 0),
            ("between the tunnel's ends", datagram.Source == Sender.Underlay && datagram.Destination == Receiver.Underlay),
            ("within the underlay's MTU", datagram.Length <= UnderlayMtu),
            ("with DF", datagram.DontFragment),
            ("of the hop limit set", datagram.HopLimit == Tunnel.HopLimit),
            ("of the traffic class set", (datagram.TrafficClass & ~EcnMask) == Tunnel.TrafficClass),
            ("with the flags and the VNI set", datagram.Flags == Tunnel.Flags && datagram.Vni == Tunnel.Vni),
            ("with the options set", datagram.Options == Tunnel.Options),
            ("with a flow label over IPv6", !Sender.Underlay.Contains(':') || datagram.FlowLabel != 0),
            ("between the tunnel devices' MACs", CarriesEthernet
                ? datagram.InnerSourceMac == Sender.Mac && datagram.InnerDestinationMac == Receiver.Mac
                : datagram.InnerSourceMac.Length + datagram.InnerDestinationMac.Length == 0),
            ("from a port of 49152 to 65535", datagram.SourcePort >= LowestSourcePort),
            ("from one port a flow", ports.TryAdd(datagram.Flow, datagram.SourcePort) || ports[datagram.Flow] == datagram.SourcePort),
            .. datagram.Checksums.Select(checksum => ($"good in {checksum.Field}", IsRight(datagram, checksum.Field, checksum.Status))),
        ];
        return rules.Where(rule => !rule.Holds).Select(rule => rule.Rule);
    }

    // RFC 7348 5: the outer checksum over IPv4 may be absent. A fragment's transport checksum cannot be seen in it.
    private bool IsRight(CapturedDatagram datagram, string field, ChecksumStatus status) => status switch
    {
        ChecksumStatus.Good => HasOuterChecksum != false || field != "udp.checksum.status" || datagram.Checksums.Any(IsAbsent),
        ChecksumStatus.NotPresent => field == "udp.checksum.status" && !(HasOuterChecksum ?? Sender.Underlay.Contains(':')),
        ChecksumStatus.Unverified => datagram.InnerFragment && field != "ip.checksum.status",
        _ => false,
    };

    private static bool IsAbsent((string Field, ChecksumStatus Status) checksum) => checksum.Status == ChecksumStatus.NotPresent;
}
