using Overlay.Agent.Configuration;
using Overlay.Agent.Setup;

namespace Overlay.Agent.Planning;

/// <summary>From a configuration file to a plan: reads, checks, and resolves it against the host as it is now.</summary>
internal static class PlanFile
{
    /// <returns>Null, with every reason among the problems, where anything is wrong.</returns>
    public static NodePlan? Read(string file, long revision, ConfigurationProblems problems) =>
        ConfigurationReader.Load(file, problems) is { } options
            ? PlanResolver.Resolve(options, HostInterfaces.Read(), revision, problems)
            : null;
}
