using System.Net;
using Overlay.Wire;

namespace Overlay.Linux.Netlink;

/// <summary>A permanent neighbour: an address on the link and its hardware address.</summary>
public sealed record Neighbour(int InterfaceIndex, IPAddress Address, MacAddress Mac);
