using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Planning;
using Overlay.Linux;
using Overlay.Linux.Netlink;

namespace Overlay.Agent.Setup;

/// <summary>
/// Notices when somebody else changed a segment's device, and puts back what is missing. The kernel takes routes, neighbours and IPv6
/// addresses from a device that is set down, and gives none of them back when it is set up again.
/// </summary>
internal sealed class DeviceWatch(Rtnetlink netlink, ILogger log)
{
    private readonly ConcurrentDictionary<string, DeviceTrouble> _troubles = [];

    /// <summary>What is wrong now and was not mended. Any thread may ask.</summary>
    public IEnumerable<DeviceTrouble> Troubles => _troubles.Values;

    /// <summary>Looks at one device. A device that is down is left so: that is the operator's decision, which is logged once.</summary>
    /// <param name="segment">Whose device it is.</param>
    public void Verify(SegmentPlan segment)
    {
        Link? link = netlink.FindLink(segment.Device);
        // Its worker dies when the device is gone, which ends the daemon.
        if (link is null) return;
        if (!link.IsUp)
        {
            Report(segment.Device, $"the device '{segment.Device}' was set down by somebody; nothing passes until it is set up (ip link set {segment.Device} up)", blocks: true);
            return;
        }
        if (segment.Bridge is not null && link.Master != 0) VerifyPorts(segment, link);
        using var undo = new UndoStack(log);
        var configurator = new DeviceConfigurator(netlink, undo);
        try
        {
            if (IsWhole(segment, link, configurator))
            {
                _troubles.TryRemove(segment.Device, out _);
                return;
            }
            DeviceState from = configurator.Read(segment.Device);
            DeviceState to = configurator.Wanted(segment, link.Index);
            configurator.Grow(from, to);
            configurator.Shrink(from, to);
            undo.Commit();
            _troubles.TryRemove(segment.Device, out _);
            log.LogWarning(
                "the device '{Device}' had lost {What} to somebody; they are back", segment.Device,
                segment.Bridge is null ? "addresses or neighbours" : "addresses, neighbours or its place in the bridge");
        }
        catch (Exception exception) when (exception is LinuxException or StartRefusedException)
        {
            Report(segment.Device, exception.Message);
        }
    }

    /// <summary>Puts back routes that somebody took or changed. Where the kernel refuses one, that is logged once.</summary>
    public void VerifyRoutes(NodePlan plan)
    {
        using var undo = new UndoStack(log);
        try
        {
            int changed = new KernelRoutes(netlink).Apply(plan, undo);
            undo.Commit();
            _troubles.TryRemove("", out _);
            if (changed > 0) log.LogWarning("{Count} of overlayd's routes were taken, changed or left over; they are as they should be", changed);
        }
        catch (Exception exception) when (exception is LinuxException or StartRefusedException)
        {
            // One that is refused keeps none of the others from being back.
            undo.Commit();
            Report("", exception.Message);
        }
    }

    private bool IsWhole(SegmentPlan segment, Link link, DeviceConfigurator configurator)
    {
        int index = link.Index;
        DeviceState wanted = configurator.Wanted(segment, index);
        return (wanted.Master is null || wanted.Master == link.Master)
            && !wanted.Neighbours.Except(netlink.ListNeighbours(index)).Any()
            && segment.Addresses.All(own => netlink.ListAddresses(index).Any(has => has.Address.Equals(own.Address)));
    }

    /// <summary>Ports come and go with pods and VMs, so that those of the start are not all.</summary>
    private void VerifyPorts(SegmentPlan segment, Link device)
    {
        IEnumerable<(string, int)> others = netlink.ListLinks().Where(port => port.Master == device.Master && port.Index != device.Index).Select(port => (port.Name, port.Mtu));
        string key = $"{segment.Device} ports";
        if (BridgePorts.TooLarge(segment.Name, device.Mtu, segment.Bridge!, others) is { } found) Report(key, $"{found.Wrong}; {found.Remedy}");
        else _troubles.TryRemove(key, out _);
    }

    /// <param name="about">What it is about, of which only the last trouble is known; empty for routes.</param>
    private void Report(string about, string trouble, bool blocks = false)
    {
        if (_troubles.TryGetValue(about, out DeviceTrouble? last) && last.Text == trouble) return;
        _troubles[about] = new DeviceTrouble(trouble, blocks);
        log.LogWarning("{Problem}", trouble);
    }
}

/// <param name="Blocks">Nothing passes meanwhile.</param>
internal sealed record DeviceTrouble(string Text, bool Blocks);
