using System.Runtime.InteropServices;
using Overlay.Linux.Interop;
using Overlay.Linux.Tests.Support;

namespace Overlay.Linux.Tests;

public sealed partial class CapabilitiesTests
{
    [Fact]
    public void Missing_AsRoot_IsEmpty() => Assert.Empty(Capabilities.Missing());

    [Theory]
    [InlineData(CapabilityNumbers.CAP_NET_ADMIN, nameof(CapabilityNumbers.CAP_NET_ADMIN))]
    [InlineData(CapabilityNumbers.CAP_NET_RAW, nameof(CapabilityNumbers.CAP_NET_RAW))]
    public void Missing_OneDropped_NamesIt(int capability, string name)
    {
        using var space = new NetworkNamespace();
        Assert.Equal([name], space.Run(() =>
        {
            Drop(capability);
            return Capabilities.Missing();
        }));
    }

    /// <summary>Takes it from the calling thread only.</summary>
    private static unsafe void Drop(int capability)
    {
        var header = new UserCapHeader { version = CapabilityNumbers._LINUX_CAPABILITY_VERSION_3 };
        UserCapData* data = stackalloc UserCapData[2];
        Assert.Equal(0, Libc.CapabilityGet(&header, data));
        data[0].effective &= ~(1u << capability);
        Assert.Equal(0, CapabilitySet(&header, data));
    }

    [LibraryImport("libc", EntryPoint = "capset")]
    private static unsafe partial int CapabilitySet(UserCapHeader* header, UserCapData* data);
}
