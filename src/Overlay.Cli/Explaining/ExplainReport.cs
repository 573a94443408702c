using System.Buffers.Binary;
using System.Globalization;
using Overlay.Rpc;
using Overlay.Wire;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Cli.Explaining;

/// <summary>An explanation for people.</summary>
internal static class ExplainReport
{
    private const int BytesPerLine = 16;

    /// <summary>Outer and tunnel headers, and the beginning of what they carry.</summary>
    private const int ShownBytes = 96;

    private const int NameWidth = 14;
    private const int OutcomeWidth = 9;

    /// <param name="inFull">Whether the outer packets are printed whole, and all of them.</param>
    public static void Write(ExplanationDocument explained, bool inFull, TextWriter output)
    {
        output.WriteLine($"{explained.Packet}");
        output.WriteLine($"  from segment {explained.Segment} of {explained.Node}, revision {explained.Revision}");
        output.WriteLine();
        Write(explained.Stages, output);
        if (explained.Outer.Count > 0) WriteOuter(explained, inFull, output);
        foreach (ArrivalDocument arrival in explained.Arrivals)
        {
            output.WriteLine();
            output.WriteLine($"at {arrival.Node}, {(arrival.Basis == "asked" ? "its daemon says" : "as far as this node knows (ask it with --at)")}");
            Write(arrival.Stages, output);
        }
        output.WriteLine();
        output.WriteLine(Verdict(explained));
    }

    private static string Verdict(ExplanationDocument explained)
    {
        if (explained.Outcome == "answered") return "answered by this node";
        if (explained.Outcome == "dropped") return $"dropped by this node: {explained.DropReason}";
        if (explained.Arrivals.FirstOrDefault(arrival => arrival.Outcome == "dropped") is { } lost) return $"dropped by {lost.Node}: {lost.DropReason ?? "its kernel"}";
        return explained.Delivered ? "delivered" : $"not delivered to all: {explained.DropReason}";
    }

    private static void Write(IReadOnlyList<ExplanationStage> stages, TextWriter output)
    {
        foreach (ExplanationStage stage in stages)
        {
            output.WriteLine($"  {stage.Name.PadRight(NameWidth)}{(stage.Outcome == "none" ? "-" : stage.Outcome).PadRight(OutcomeWidth)}{stage.Text}");
            foreach (string detail in stage.Details) output.WriteLine($"{new string(' ', 2 + NameWidth + OutcomeWidth)}{detail}");
        }
    }

    private static void WriteOuter(ExplanationDocument explained, bool inFull, TextWriter output)
    {
        for (int i = 0; i < explained.Outer.Count; i++)
        {
            OuterPacketDocument packet = explained.Outer[i];
            byte[] bytes = Convert.FromHexString(packet.Bytes);
            output.WriteLine();
            output.WriteLine($"outer packet {i + 1} of {explained.Outer.Count} to {packet.Peer}: {bytes.Length} bytes by {packet.Way}");
            TunnelTree.Write(Decode(packet.Encapsulation, bytes), output, "  ");
            WriteBytes(inFull ? bytes : bytes.AsSpan(0, Math.Min(ShownBytes, bytes.Length)), output);
            if (inFull) continue;
            if (bytes.Length > ShownBytes) output.WriteLine($"  ... {bytes.Length - ShownBytes} more bytes: --hex");
            if (i + 1 == explained.Outer.Count) continue;
            output.WriteLine($"  ... {explained.Outer.Count - i - 1} more packets: --hex");
            return;
        }
    }

    private static void WriteBytes(ReadOnlySpan<byte> bytes, TextWriter output)
    {
        for (int offset = 0; offset < bytes.Length; offset += BytesPerLine)
        {
            ReadOnlySpan<byte> line = bytes[offset..Math.Min(offset + BytesPerLine, bytes.Length)];
            output.WriteLine($"  {offset.ToString("x4", CultureInfo.InvariantCulture)}  {string.Join(' ', line.ToArray().Select(octet => octet.ToString("x2", CultureInfo.InvariantCulture)))}");
        }
    }

    /// <summary>By the decoder of <c>overlay decode</c>, which wants an Ethernet header in front.</summary>
    private static DecodedFrame Decode(string encapsulation, byte[] packet)
    {
        byte[] frame = new byte[EthernetFrame.MinHeaderLength + packet.Length];
        bool isIpv4 = packet[0] >> 4 == 4;
        EthernetFrame.WriteHeader(frame, default, default, isIpv4 ? EtherTypes.Ipv4 : EtherTypes.Ipv6);
        packet.CopyTo(frame, EthernetFrame.MinHeaderLength);
        var ports = new TunnelPorts();
        int udp = isIpv4 ? (packet[0] & 0xf) * 4 : Ipv6Packet.HeaderLength;
        if (encapsulation is "vxlan" or "geneve")
            ports.TryAdd(BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(udp + sizeof(ushort))), encapsulation == "vxlan" ? TunnelKind.Vxlan : TunnelKind.Geneve);
        return new FrameDecoder(ports).Decode(CapturedFrame.Ethernet(frame));
    }
}
