using Overlay.Linux.Interop;

namespace Overlay.Linux;

/// <summary>Which of the capabilities that the daemon needs the calling thread has in effect (capabilities(7)).</summary>
public static unsafe class Capabilities
{
    private static readonly (string Name, int Number)[] Needed =
    [
        (nameof(CapabilityNumbers.CAP_NET_ADMIN), CapabilityNumbers.CAP_NET_ADMIN),
        (nameof(CapabilityNumbers.CAP_NET_RAW), CapabilityNumbers.CAP_NET_RAW),
    ];

    /// <summary>Names of the missing ones; empty when all are there.</summary>
    public static IReadOnlyList<string> Missing()
    {
        var header = new UserCapHeader { version = CapabilityNumbers._LINUX_CAPABILITY_VERSION_3 };
        UserCapData* data = stackalloc UserCapData[2];
        if (Libc.CapabilityGet(&header, data) < 0) throw LinuxException.Last("capget");
        uint effective = data[0].effective;
        return [.. Needed.Where(capability => (effective >> capability.Number & 1) == 0).Select(capability => capability.Name)];
    }
}
