using System.Globalization;

namespace Overlay.SystemTests.Lab;

/// <summary>What every datagram of a sender must be, on a wire.</summary>
internal sealed record VxlanRules
{
    private const int LowestSourcePort = 49152;
    private const int FlagVni = 0x0800;

    public required LabNode Sender { get; init; }

    public required LabNode Receiver { get; init; }

    public required TunnelOptions Tunnel { get; init; }

    public required int UnderlayMtu { get; init; }

    public int HopLimit { get; init; } = 64;

    /// <summary>DSCP and ECN.</summary>
    public int TrafficClass { get; init; }

    /// <summary>Checks a capture.</summary>
    /// <returns>Each violation in words; empty when all is well.</returns>
    public IReadOnlyList<string> Violations(IReadOnlyList<CapturedDatagram> datagrams)
    {
        var violations = new List<string>();
        var ports = new Dictionary<string, int>();
        foreach (CapturedDatagram datagram in datagrams)
        {
            void Require(bool holds, string rule)
            {
                if (!holds) violations.Add(string.Create(CultureInfo.InvariantCulture, $"frame {datagram.Frame}: {rule}: {datagram}"));
            }

            Require(datagram.Malformed.Length == 0, "well formed");
            Require(datagram.Source == Sender.Underlay && datagram.Destination == Receiver.Underlay, "between the tunnel's ends");
            Require(datagram.Length <= UnderlayMtu, "within the underlay's MTU");
            Require(datagram.DontFragment, "DF set");
            Require(datagram.HopLimit == HopLimit, $"hop limit {HopLimit}");
            Require(datagram.TrafficClass == TrafficClass, $"traffic class {TrafficClass}");
            Require(datagram.Flags == FlagVni && datagram.Vni == Tunnel.Vni, "flag I alone, and the VNI");
            Require(datagram.InnerSourceMac == Sender.Mac && datagram.InnerDestinationMac == Receiver.Mac, "MACs of the tunnel devices");
            Require(datagram.SourcePort >= LowestSourcePort, "source port in 49152-65535");
            Require(ports.TryAdd(datagram.Flow, datagram.SourcePort) || ports[datagram.Flow] == datagram.SourcePort, "one port a flow");
            foreach ((string field, ChecksumStatus status) in datagram.Checksums) Require(IsRight(datagram, field, status), field);
        }
        return violations;
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
