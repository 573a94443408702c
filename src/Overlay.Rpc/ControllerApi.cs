namespace Overlay.Rpc;

/// <summary>Where overlay-controller is found.</summary>
public static class ControllerApi
{
    /// <summary>Unix socket for administration on the controller's own host.</summary>
    public const string DefaultSocket = "/run/overlay/controller.sock";

    /// <summary>TCP port of nodes and administrators, with TLS.</summary>
    public const int DefaultPort = 7443;
}
