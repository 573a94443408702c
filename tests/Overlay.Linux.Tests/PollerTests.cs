using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Overlay.Linux.Tests;

public sealed class PollerTests
{
    [Fact]
    public void Wait_NothingHappens_ReturnsWhenTimeIsUp()
    {
        using var poller = new Poller();
        long started = Stopwatch.GetTimestamp();
        Assert.False(poller.Wait(50));
        Assert.InRange(Stopwatch.GetElapsedTime(started).TotalMilliseconds, 49, 10_000);
        Assert.Throws<ArgumentOutOfRangeException>(() => poller.Wait(-1));
    }

    [Fact]
    public void Wait_WokenBefore_ReturnsAtOnceAndOnce()
    {
        using var poller = new Poller();
        poller.Wake();
        poller.Wake();
        Assert.True(poller.Wait(30_000));
        Assert.False(poller.Wait(0));
    }

    [Fact]
    public async Task Wait_WokenMeanwhile_Returns()
    {
        using var poller = new Poller();
        Task<bool> waiting = Task.Run(() => poller.Wait(30_000));
        poller.Wake();
        Assert.True(await waiting.WaitAsync(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void Wait_DescriptorReadable_Returns()
    {
        using var idle = new UdpClient(new IPEndPoint(IPAddress.Loopback, 0));
        using var busy = new UdpClient(new IPEndPoint(IPAddress.Loopback, 0));
        using var poller = new Poller((int)idle.Client.Handle, (int)busy.Client.Handle);
        idle.Send([1], (IPEndPoint)busy.Client.LocalEndPoint!);
        Assert.True(poller.Wait(10_000));
    }
}
