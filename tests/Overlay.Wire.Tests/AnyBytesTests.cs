using Overlay.Testing;

namespace Overlay.Wire.Tests;

/// <summary>No bytes make a parser or an accessor throw.</summary>
public sealed class AnyBytesTests
{
    [Fact]
    public void TryParse_RandomBytes_NeverThrows() => Seeded.Check(2_000, random =>
    {
        Span<byte> bytes = stackalloc byte[160];
        for (int i = 0; i < 500; i++)
        {
            Span<byte> part = bytes[..random.Next(bytes.Length + 1)];
            random.NextBytes(part);
            if (part.Length > 0 && random.Next(2) == 0) part[0] = (byte)((random.Next(2) == 0 ? 0x40 : 0x60) | (part[0] & 0x0f));
            EveryView.Read(part);
        }
    });

    [Fact]
    public void TryParse_MutatedFrames_NeverThrows() => Seeded.Check(20_000, random =>
    {
        Span<byte> original = stackalloc byte[RandomFrames.MaxLength];
        Span<byte> frame = stackalloc byte[RandomFrames.MaxLength];
        int length = RandomFrames.Write(random, original);
        for (int i = 0; i < 50; i++)
        {
            original.CopyTo(frame);
            for (int flips = random.Next(4); flips > 0; flips--) frame[random.Next(Math.Min(length, 120))] = (byte)random.Next(256);
            int kept = random.Next(3) == 0 ? random.Next(length + 1) : length;
            EveryView.ReadLayers(frame[..kept]);
            EveryView.Read(frame[Math.Min(14, kept)..kept]);
        }
    });

    [Fact]
    public void TryParse_EveryPrefixOfAFrame_NeverThrows() => Seeded.Check(3_000, random =>
    {
        Span<byte> frame = stackalloc byte[RandomFrames.MaxLength];
        int length = RandomFrames.Write(random, frame);
        for (int kept = 0; kept <= length; kept++) EveryView.ReadLayers(frame[..kept]);
    });
}
