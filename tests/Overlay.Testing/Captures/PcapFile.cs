namespace Overlay.Testing.Captures;

/// <summary>Writes classic pcap files of every kind.</summary>
public static class PcapFile
{
    public const int EthernetLinkType = 1;

    public static byte[] Write(params byte[][] frames) => Write([.. frames.Select(frame => new CaptureRecord(frame))]);

    public static byte[] Write(
        IReadOnlyList<CaptureRecord> records, bool isBigEndian = false, bool isNanoseconds = false, uint linkType = EthernetLinkType)
    {
        NumberWriter file = new NumberWriter(isBigEndian)
            .UInt32(isNanoseconds ? 0xa1b23c4d : 0xa1b2c3d4).UInt16(2).UInt16(4).UInt32(0).UInt32(0).UInt32(262_144).UInt32(linkType);
        foreach (CaptureRecord record in records)
            file.UInt32(1_700_000_000).UInt32(999_999).UInt32(record.Data.Length).UInt32(record.Length).Bytes(record.Data);
        return file.ToArray();
    }
}
