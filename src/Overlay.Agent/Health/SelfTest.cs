using System.Net.Sockets;
using Overlay.Agent.Planning;
using Overlay.Linux.Tap;
using Overlay.Linux.Underlay;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Health;

/// <summary>Sums up bytes as <see cref="InternetChecksum.Add"/> does.</summary>
internal delegate ulong ChecksumSum(ReadOnlySpan<byte> data);

/// <summary>
/// Tries at start what packets will rely on, and switches off what is broken: vector instructions for checksums, super-packets and unfinished checksums
/// of TAP devices, and the kernel's cutting and merging of datagrams. The tunnel super-packets have a probe of their own, which goes on.
/// </summary>
internal sealed class SelfTest
{
    public const string Checksums = "checksums";
    public const string Datagrams = "udp-offloads";
    public const string Devices = "tap-offloads";

    private const int MostLength = 2048;

    private SelfTest(UdpOffloads udp, TapOffloads tap, IReadOnlyList<SelfTestResult> results) => (Udp, Tap, Results) = (udp, tap, results);

    /// <summary>What the kernel is asked for.</summary>
    public UdpOffloads Udp { get; }

    /// <summary>What devices are asked for.</summary>
    public TapOffloads Tap { get; }

    public IReadOnlyList<SelfTestResult> Results { get; }

    public static SelfTest Run(NodePlan plan)
    {
        SelfTestResult checksums = TryChecksums(data => InternetChecksum.Add(data), () => InternetChecksum.IsPlain = true);
        TapOffloadFinding devices = TapOffloadTest.Run();
        TapOffloads tap = devices.Works ?? TapOffloads.All;
        if (plan.Options.Ports.Count == 0) return new SelfTest(UdpOffloads.All, tap, [checksums, Describe(devices)]);
        AddressFamily family = plan.Underlay.AddressV4 is null ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
        UdpOffloads? found = UdpOffloadTest.Run(family);
        return new SelfTest(found ?? UdpOffloads.All, tap, [checksums, Describe(devices), Describe(found)]);
    }

    /// <summary>Sums up runs of every length and alignment, and compares with a plain loop.</summary>
    /// <param name="sum">What packets rely on.</param>
    /// <param name="switchOff">Has it do without what may be broken.</param>
    internal static SelfTestResult TryChecksums(ChecksumSum sum, Action switchOff)
    {
        if (WrongLength(sum) is not { } wrong) return new SelfTestResult(Checksums, true, "every length and alignment gives the sum of a plain loop");
        switchOff();
        return WrongLength(sum) is null
            ? new SelfTestResult(Checksums, false, $"vector instructions sum {wrong} bytes wrongly; they are switched off, and checksums take longer")
            : new SelfTestResult(Checksums, false, $"{wrong} bytes are summed wrongly, with vector instructions and without; packets would be corrupted");
    }

    internal static SelfTestResult Describe(TapOffloadFinding found) => found.Works switch
    {
        null => new SelfTestResult(Devices, null, $"could not be tried: {found.Obstacle}"),
        TapOffloads.All => new SelfTestResult(Devices, true, "super-packets of TCP and UDP, and packets with unfinished checksums, come out of a device as they should"),
        TapOffloads.None => new SelfTestResult(Devices, false, "unfinished checksums come out of a device wrong; all its offloads are switched off, and the kernel cuts and finishes every packet"),
        TapOffloads.Checksum => new SelfTestResult(Devices, false, "TCP super-packets come out of a device wrong; they are switched off, TCP and UDP, and the kernel cuts them"),
        _ => new SelfTestResult(Devices, false, "UDP super-packets come out of a device wrong; they are switched off, and UDP leaves applications one datagram at a time"),
    };

    internal static SelfTestResult Describe(UdpOffloads? found)
    {
        if (found is not { } offloads) return new SelfTestResult(Datagrams, null, "the loopback interface carries no datagrams, so it could not be tried; set it up (ip link set lo up)");
        if (offloads == UdpOffloads.All) return new SelfTestResult(Datagrams, true, "a train of datagrams arrives whole and cut right");
        string broken = (offloads.Sends, offloads.Receives) switch
        {
            (false, true) => "trains that the kernel cuts (UDP_SEGMENT) do not arrive whole; that is switched off, and datagrams leave one at a time",
            (true, false) => "trains that the kernel merges (UDP_GRO) do not arrive whole; that is switched off, and datagrams arrive one at a time",
            _ => "trains of datagrams do not arrive whole; the kernel's cutting and merging (UDP_SEGMENT, UDP_GRO) are switched off, and datagrams go one at a time",
        };
        return new SelfTestResult(Datagrams, false, broken);
    }

    /// <returns>A length that is summed up wrongly; null: there is none.</returns>
    private static int? WrongLength(ChecksumSum sum)
    {
        byte[] data = new byte[MostLength + 1];
        for (int i = 0; i < data.Length; i++) data[i] = (byte)((i * 167) ^ (i >> 3) ^ 0xa5);
        for (int length = 0; length <= MostLength; length = length < 256 ? length + 1 : length + 61)
        {
            for (int start = 0; start <= 1; start++)
            {
                ReadOnlySpan<byte> part = data.AsSpan(start, length);
                if (InternetChecksum.Fold(sum(part)) != PlainSum(part)) return length;
            }
        }
        return null;
    }

    private static ushort PlainSum(ReadOnlySpan<byte> data)
    {
        uint sum = 0;
        for (int i = 0; i < data.Length; i += 2)
        {
            int word = i + 1 == data.Length ? data[i] << 8 : (data[i] << 8) | data[i + 1];
            sum += (uint)word;
            sum = (sum & 0xffff) + (sum >> 16);
        }
        return BitConverter.IsLittleEndian ? System.Buffers.Binary.BinaryPrimitives.ReverseEndianness((ushort)sum) : (ushort)sum;
    }
}
