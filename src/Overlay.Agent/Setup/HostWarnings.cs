using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Planning;
using Overlay.Linux;

namespace Overlay.Agent.Setup;

/// <summary>Says what of the host's settings will keep packets from flowing, without changing them.</summary>
internal static class HostWarnings
{
    public static void Log(NodePlan plan, ILogger log)
    {
        WarnUnlessForwarding(AddressFamily.InterNetwork, "net/ipv4/ip_forward", plan, log);
        WarnUnlessForwarding(AddressFamily.InterNetworkV6, "net/ipv6/conf/all/forwarding", plan, log);
    }

    private static void WarnUnlessForwarding(AddressFamily family, string key, NodePlan plan, ILogger log)
    {
        bool used = plan.State.Routes.Any(route => route.Prefix.BaseAddress.AddressFamily == family);
        if (!used || Sysctl.Read(key) != "0") return;
        log.LogWarning(
            "{Sysctl} is 0: this host forwards nothing between pods and the overlay; set it to 1 unless only the node itself uses the overlay",
            key);
    }
}
