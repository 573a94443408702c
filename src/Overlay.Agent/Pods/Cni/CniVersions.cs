namespace Overlay.Agent.Pods.Cni;

/// <summary>Versions of the CNI specification that are spoken.</summary>
internal static class CniVersions
{
    public const string V031 = "0.3.1";
    public const string V040 = "0.4.0";
    public const string V100 = "1.0.0";
    public const string V110 = "1.1.0";

    /// <summary>In ascending order.</summary>
    public static readonly string[] All = [V031, V040, V100, V110];

    /// <summary>Whether a supported version is at least another.</summary>
    public static bool IsAtLeast(string version, string least) => Array.IndexOf(All, version) >= Array.IndexOf(All, least);
}
