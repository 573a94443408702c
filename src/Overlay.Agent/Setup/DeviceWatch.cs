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
    private readonly Dictionary<string, string> _troubles = [];

    /// <summary>Looks at one device. A device that is down is left so: that is the operator's decision, which is logged once.</summary>
    /// <param name="segment">Whose device it is.</param>
    /// <param name="routes">Whether to look at each route too, of which there may be many.</param>
    public void Verify(SegmentPlan segment, bool routes)
    {
        Link? link = netlink.FindLink(segment.Device);
        // Its worker dies when the device is gone, which ends the daemon.
        if (link is null) return;
        if (!link.IsUp)
        {
            Report(segment, $"the device '{segment.Device}' was set down by somebody; nothing passes until it is set up (ip link set {segment.Device} up)");
            return;
        }
        if (segment.Bridge is not null && link.Master != 0) VerifyPorts(segment, link);
        using var undo = new UndoStack(log);
        var configurator = new DeviceConfigurator(netlink, undo);
        try
        {
            if (IsWhole(segment, link, configurator, routes))
            {
                _troubles.Remove(segment.Device);
                return;
            }
            configurator.Apply(configurator.Read(segment.Device), configurator.Wanted(segment, link.Index));
            undo.Commit();
            _troubles.Remove(segment.Device);
            log.LogWarning(
                "the device '{Device}' had lost {What} to somebody; they are back", segment.Device,
                segment.Bridge is null ? "addresses, neighbours or routes" : "addresses, neighbours, routes or its place in the bridge");
        }
        catch (Exception exception) when (exception is LinuxException or StartRefusedException)
        {
            Report(segment, exception.Message);
        }
    }

    /// <summary>Addresses and neighbours are few and go with the routes, of which there may be many.</summary>
    private bool IsWhole(SegmentPlan segment, Link link, DeviceConfigurator configurator, bool routes)
    {
        int index = link.Index;
        DeviceState wanted = configurator.Wanted(segment, index);
        return (wanted.Master is null || wanted.Master == link.Master)
            && !wanted.Neighbours.Except(netlink.ListNeighbours(index)).Any()
            && (!routes || !wanted.Routes.Except(netlink.ListRoutes()).Any())
            && segment.Addresses.All(own => netlink.ListAddresses(index).Any(has => has.Address.Equals(own.Address)));
    }

    /// <summary>Ports come and go with pods and VMs, so that those of the start are not all.</summary>
    private void VerifyPorts(SegmentPlan segment, Link device)
    {
        IEnumerable<(string, int)> others = netlink.ListLinks().Where(port => port.Master == device.Master && port.Index != device.Index).Select(port => (port.Name, port.Mtu));
        string key = $"{segment.Device} ports";
        if (BridgePorts.TooLarge(segment.Name, device.Mtu, segment.Bridge!, others) is { } found) Report(key, $"{found.Wrong}; {found.Remedy}");
        else _troubles.Remove(key);
    }

    private void Report(SegmentPlan segment, string trouble) => Report(segment.Device, trouble);

    private void Report(string what, string trouble)
    {
        if (_troubles.TryGetValue(what, out string? last) && last == trouble) return;
        _troubles[what] = trouble;
        log.LogWarning("{Problem}", trouble);
    }
}
