namespace Overlay.Linux.Netlink;

public enum RouteVerb : byte
{
    /// <summary>Refused with EEXIST where there is one of the same destination and metric.</summary>
    Add,

    /// <summary>Takes the place of one of the same destination and metric, or is added.</summary>
    Replace,

    /// <summary>Refused with ESRCH where there is none that agrees in everything given.</summary>
    Delete,
}

public readonly record struct RouteChange(RouteVerb Verb, Route Route);

/// <param name="Index">Of the change that the kernel refused.</param>
/// <param name="Failure">Why.</param>
public readonly record struct RouteFailure(int Index, LinuxException Failure);
