namespace Overlay.SystemTests.Lab;

/// <summary>What tshark makes of a checksum.</summary>
internal enum ChecksumStatus
{
    Bad = 0,
    Good = 1,
    Unverified = 2,
    NotPresent = 3,
}

/// <summary>One tunnel datagram as tshark reads it.</summary>
/// <param name="Frame">Its number in the capture.</param>
/// <param name="Length">Octets of the outer IP packet.</param>
/// <param name="DontFragment">The outer header's flag; true over IPv6, which knows no other way.</param>
/// <param name="HopLimit">Outer TTL or hop limit.</param>
/// <param name="TrafficClass">Outer DSCP and ECN.</param>
/// <param name="FlowLabel">Outer IPv6 flow label; 0 over IPv4.</param>
/// <param name="Flags">VXLAN's first 16 bits, or the second octet of Geneve.</param>
/// <param name="GroupPolicy">VXLAN's group policy ID.</param>
/// <param name="Options">Geneve's options in hexadecimal.</param>
/// <param name="InnerSourceMac">Empty where there is no inner Ethernet header; so is the destination.</param>
/// <param name="Checksums">Every checksum that tshark found, outer and inner, with the name of its field.</param>
/// <param name="InnerFragment">Whether the inner packet is a fragment, whose transport checksum covers more than is here.</param>
/// <param name="Flow">Inner addresses, protocol and ports.</param>
/// <param name="Malformed">What tshark complains of, or empty.</param>
internal sealed record CapturedDatagram(
    int Frame, string Source, string Destination, int Length, bool DontFragment, int HopLimit, int TrafficClass, int FlowLabel, int SourcePort, int Vni,
    int Flags, int GroupPolicy, string Options, IReadOnlyList<(string Field, ChecksumStatus Status)> Checksums, bool InnerFragment, string InnerSourceMac,
    string InnerDestinationMac, string Flow, string Malformed);
