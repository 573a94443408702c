using System.Net;
using Overlay.Wire;

namespace Overlay.Control.Ipam;

/// <summary>Sets of addresses as text: <c>10.0.0.7</c>, <c>10.0.0.0-10.0.0.3</c>.</summary>
internal static class AddressRanges
{
    public static string[] Write(IEnumerable<UInt128> addresses)
    {
        var ranges = new List<(UInt128 First, UInt128 Last)>();
        foreach (UInt128 address in addresses.Order())
        {
            if (ranges.Count > 0 && ranges[^1].Last + 1 == address) ranges[^1] = (ranges[^1].First, address);
            else ranges.Add((address, address));
        }
        return [.. ranges.Select(range => range.First == range.Last ? Text(range.First) : $"{Text(range.First)}-{Text(range.Last)}")];
    }

    public static IEnumerable<UInt128> Read(IEnumerable<string> texts)
    {
        foreach (string text in texts)
        {
            string[] ends = text.Split('-');
            UInt128 last = IpBits.V6OrMapped(IPAddress.Parse(ends[^1]));
            for (UInt128 address = IpBits.V6OrMapped(IPAddress.Parse(ends[0])); address <= last; address++) yield return address;
        }
    }

    private static string Text(UInt128 address) => IpBits.ToAddress(address).ToString();
}
