namespace Overlay.Linux.Netlink;

/// <summary>What the kernel told of a change in the network namespace.</summary>
public abstract record NetlinkEvent;

/// <summary>An interface appeared, changed (its MTU, its being up, its carrier, its name) or went.</summary>
/// <param name="Link">As it is now, or was last.</param>
/// <param name="IsGone">True when it was removed from the namespace.</param>
public sealed record LinkEvent(Link Link, bool IsGone) : NetlinkEvent;

/// <summary>An address became usable, or went. One whose uniqueness is not settled yet is told of when it is.</summary>
public sealed record AddressEvent(AssignedAddress Address, bool IsGone) : NetlinkEvent;

/// <summary>A route of the main table was added, replaced or deleted.</summary>
public sealed record RouteEvent(Route Route, bool IsGone) : NetlinkEvent;

/// <summary>
/// Events were lost because they came faster than they were read. What is of interest must be listed anew; changes after this event follow
/// it.
/// </summary>
public sealed record EventsLost : NetlinkEvent;
