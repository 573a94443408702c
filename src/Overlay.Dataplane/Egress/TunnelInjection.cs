using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>Addresses on the short way between us and the device that takes tunnel super-packets; they never reach a wire.</summary>
public static class TunnelInjection
{
    /// <summary>MAC that the injecting device must have, so that the kernel takes the frames as addressed to it.</summary>
    public static MacAddress DeviceMac => new([0x02, 0x00, 0x00, 0x00, 0x4f, 0x56]);

    /// <summary>MAC that the frames come from.</summary>
    public static MacAddress SourceMac => new([0x02, 0x00, 0x00, 0x00, 0x4f, 0x57]);
}
