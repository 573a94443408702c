namespace Overlay.SystemTests.Lab;

/// <summary>What every datagram of a sender must be, on a wire.</summary>
internal sealed record VxlanRules
{
    private const int LowestSourcePort = 49152;
    private const int FlagVni = 0x0800;
    private const int EcnMask = 3;

    public required LabNode Sender { get; init; }

    public required LabNode Receiver { get; init; }

    public required TunnelOptions Tunnel { get; init; }

    public required int UnderlayMtu { get; init; }

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
            ("with flag I alone and the VNI", datagram.Flags == FlagVni && datagram.Vni == Tunnel.Vni),
            ("between the tunnel devices' MACs", datagram.InnerSourceMac == Sender.Mac && datagram.InnerDestinationMac == Receiver.Mac),
            ("from a port of 49152 to 65535", datagram.SourcePort >= LowestSourcePort),
            ("from one port a flow", ports.TryAdd(datagram.Flow, datagram.SourcePort) || ports[datagram.Flow] == datagram.SourcePort),
            .. datagram.Checksums.Select(checksum => ($"good in {checksum.Field}", IsRight(datagram, checksum.Field, checksum.Status))),
        ];
        return rules.Where(rule => !rule.Holds).Select(rule => rule.Rule);
    }

    // RFC 7348 5: the outer checksum over IPv4 may be absent. A fragment's transport checksum cannot be seen in it.
    private bool IsRight(CapturedDatagram datagram, string field, ChecksumStatus status) => status switch
    {
        ChecksumStatus.Good => true,
        ChecksumStatus.NotPresent => field == "udp.checksum.status" && !Sender.Underlay.Contains(':'),
        ChecksumStatus.Unverified => datagram.InnerFragment && field != "ip.checksum.status",
        _ => false,
    };
}
