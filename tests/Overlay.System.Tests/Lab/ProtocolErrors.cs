using System.Globalization;

namespace Overlay.SystemTests.Lab;

/// <summary>What the kernel of a namespace refused or had no room for, from /proc/net/snmp.</summary>
internal sealed record ProtocolErrors(long TcpChecksum, long UdpChecksum, long UdpNoRoom)
{
    public static async Task<ProtocolErrors> ReadAsync(NetworkNamespace inside)
    {
        string[] lines = (await inside.CheckAsync("cat", "/proc/net/snmp")).Split('\n');
        return new ProtocolErrors(Value(lines, "Tcp", "InCsumErrors"), Value(lines, "Udp", "InCsumErrors"), Value(lines, "Udp", "RcvbufErrors"));
    }

    private static long Value(string[] lines, string protocol, string counter)
    {
        // A line of names, then one of values.
        string[][] rows = [.. lines.Where(line => line.StartsWith(protocol + ":", StringComparison.Ordinal)).Select(line => line.Split(' '))];
        return long.Parse(rows[1][Array.IndexOf(rows[0], counter)], CultureInfo.InvariantCulture);
    }
}
