using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;
using Overlay.Testing;

namespace Overlay.Control.Tests.Ipam;

/// <summary>An allocator whose journal outlives it, on a clock that the test moves.</summary>
public abstract class NodeAllocatorLab : IDisposable
{
    protected const string Network = "pods";

    protected static readonly IPNetwork Block = IPNetwork.Parse("10.244.1.0/26");

    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-ipam-").FullName;

    protected ManualTime Time { get; } = new();

    protected string Journal => Path.Combine(_folder, "journal");

    public void Dispose()
    {
        Directory.Delete(_folder, true);
        GC.SuppressFinalize(this);
    }

    /// <param name="boot">Another boot of the host than the one that runs; null: that one.</param>
    private protected NodeAllocator Open(string? boot = null) => new(new NodeAllocatorOptions { Journal = Journal }, new BootClock(Time, boot));

    /// <summary>A burst can reach the end of the window before its extension is on the disk.</summary>
    private protected static Allocation AllocateWhenExtended(NodeAllocator allocator, string owner)
    {
        Allocation next = default;
        bool done = SpinWait.SpinUntil(
            () => (next = allocator.Allocate(Network, AddressFamily.InterNetwork, owner)).Status != AllocationStatus.Exhausted, TimeSpan.FromSeconds(1));
        Assert.True(done || next.Status == AllocationStatus.Exhausted);
        return next;
    }
}
