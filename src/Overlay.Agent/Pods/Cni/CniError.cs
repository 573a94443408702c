using System.Text.Json.Nodes;

namespace Overlay.Agent.Pods.Cni;

/// <summary>Codes of the CNI specification 1.1, "Error"; from 100 on they are the plugin's own.</summary>
internal enum CniErrorCode
{
    IncompatibleVersion = 1,
    UnsupportedField = 2,

    /// <summary>The container is not there; the runtime need not clean up.</summary>
    UnknownContainer = 3,
    InvalidEnvironment = 4,
    IoFailure = 5,
    DecodingFailed = 6,
    InvalidConfiguration = 7,
    TryAgainLater = 11,

    /// <summary>STATUS: no ADD can be served.</summary>
    NotAvailable = 50,

    /// <summary>STATUS: nor have the containers that are there all of their connectivity.</summary>
    LimitedConnectivity = 51,

    /// <summary>The address asked for cannot be had.</summary>
    AddressUnavailable = 100,

    /// <summary>There is an interface of this name in the container.</summary>
    InterfaceExists = 101,

    /// <summary>CHECK: the container is not as ADD left it.</summary>
    NotAsAdded = 102,
}

/// <summary>A call that is answered with an error.</summary>
/// <param name="code">What kind of failure.</param>
/// <param name="message">Names the pod, where there is one, and the cause.</param>
/// <param name="details">What to do about it; may be empty.</param>
internal sealed class CniException(CniErrorCode code, string message, string details = "", Exception? cause = null) : Exception(message, cause)
{
    public CniErrorCode Code { get; } = code;

    public string Details { get; } = details;

    /// <summary>The error as it is printed.</summary>
    /// <param name="version">Of the configuration.</param>
    public JsonObject ToJson(string version) => new()
    {
        ["cniVersion"] = version,
        ["code"] = (int)Code,
        ["msg"] = Message,
        ["details"] = Details,
    };
}
