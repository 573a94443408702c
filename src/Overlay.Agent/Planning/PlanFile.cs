using Overlay.Agent.Configuration;
using Overlay.Agent.Setup;

namespace Overlay.Agent.Planning;

/// <summary>From a configuration file to a plan: reads, checks, and resolves it against the host as it is now.</summary>
internal static class PlanFile
{
    /// <param name="file">Path.</param>
    /// <param name="revision">Of the plan.</param>
    /// <param name="before">The plan in force, or null at start.</param>
    /// <param name="problems">Where reasons for a refusal go.</param>
    /// <returns>Null, with every reason among the problems, where anything is wrong.</returns>
    public static NodePlan? Read(string file, long revision, NodePlan? before, ConfigurationProblems problems) =>
        ConfigurationReader.Load(file, problems) is { } options ? Resolve(options, revision, before, problems) : null;

    /// <summary>The same for options that were read before.</summary>
    public static NodePlan? Resolve(OverlaydOptions options, long revision, NodePlan? before, ConfigurationProblems problems)
    {
        using var ways = new HostWays(options);
        return PlanResolver.Resolve(options, HostInterfaces.Read(), revision, problems, ways.Find, before);
    }

    /// <summary>The same for the options of a plan in force, when the host has changed.</summary>
    public static NodePlan? Follow(NodePlan before, long revision, ConfigurationProblems problems)
    {
        using var ways = new HostWays(before.Options);
        return PlanResolver.Follow(before.Options, HostInterfaces.ReadWithoutRoutes(), revision, problems, ways.Find, before);
    }
}
