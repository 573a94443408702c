using System.Security.Cryptography;
using System.Text;
using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>The MAC of a segment's device where none is configured.</summary>
internal static class DeviceMac
{
    private const byte GroupBit = 1;
    private const byte LocallyAdministeredBit = 2;

    /// <summary>A locally administered unicast address that depends on the two names only, so that restarts keep it.</summary>
    public static MacAddress Derive(string node, string segment)
    {
        byte[] digest = SHA256.HashData(Encoding.UTF8.GetBytes($"{node}\0{segment}"));
        digest[0] = (byte)((digest[0] & ~GroupBit) | LocallyAdministeredBit);
        return new MacAddress(digest);
    }

    /// <summary>The one address of all devices of a node whose networks a controller tells.</summary>
    public static MacAddress OfNode(string node) => Derive(node, "");
}
