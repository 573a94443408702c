using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Tunnels;

/// <summary>Every kind of tunnel format there is, by name, for tests that hold for all.</summary>
public static class Formats
{
    public const ushort OptionClass = 0x0102;
    public const byte CriticalType = 0x83;

    public static TheoryData<string> Names => new(All.Keys);

    /// <summary>Four bytes of data in each of two options, one of them critical.</summary>
    public static byte[] Options => [0x01, 0x02, CriticalType, 1, 0xde, 0xad, 0xbe, 0xef, 0xff, 0xff, 0x04, 1, 0, 1, 2, 3];

    private static Dictionary<string, TunnelFormat> All => new()
    {
        ["vxlan"] = TunnelFormat.Vxlan,
        ["vxlan, group policy"] = new TunnelFormat { GroupPolicy = 0xabcd },
        ["vxlan, tags kept"] = new TunnelFormat { KeepsVlanTags = true },
        ["geneve"] = new TunnelFormat { Encapsulation = Encapsulation.Geneve },
        ["geneve, options"] = new TunnelFormat { Encapsulation = Encapsulation.Geneve, GeneveOptions = Options },
        ["geneve, most options"] = new TunnelFormat { Encapsulation = Encapsulation.Geneve, GeneveOptions = MostOptions() },
        ["geneve, bare IP"] = new TunnelFormat { Encapsulation = Encapsulation.Geneve, IsBareIp = true },
        ["geneve, bare IP, options"] = new TunnelFormat { Encapsulation = Encapsulation.Geneve, IsBareIp = true, GeneveOptions = Options },
    };

    public static IEnumerable<TunnelFormat> Every => All.Values;

    public static TunnelFormat Of(string name) => All[name];

    private static byte[] MostOptions()
    {
        byte[] options = new byte[GeneveHeader.MaxOptionsLength];
        int length = 0;
        length += GeneveOption.Write(options.AsSpan(length), 1, 2, new byte[GeneveOption.MaxDataLength]);
        GeneveOption.Write(options.AsSpan(length), 1, 3, new byte[options.Length - length - GeneveOption.HeaderLength]);
        return options;
    }
}
