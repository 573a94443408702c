using Overlay.Control.Ipam;
using Overlay.Testing;

namespace Overlay.Control.Tests.Ipam;

/// <summary>Addresses as the journal writes them.</summary>
public sealed class AddressRangesTests
{
    [Fact]
    public void Read_AnyAddressesAsTheyWereWritten_AreTheSame() => Seeded.Check(200, random =>
    {
        UInt128 first = random.Next(2) == 0 ? (UInt128)0xffff_0a00_0000 : (UInt128)0xfd00 << 112;
        HashSet<UInt128> addresses = [.. Enumerable.Range(0, random.Next(60)).Select(_ => first + (UInt128)random.Next(100))];

        string[] texts = AddressRanges.Write(addresses);

        Assert.True(addresses.SetEquals(AddressRanges.Read(texts)));
        Assert.Equal(addresses.Count(each => !addresses.Contains(each - 1)), texts.Length);
    });
}
