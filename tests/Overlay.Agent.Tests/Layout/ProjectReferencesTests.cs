using System.Xml.Linq;

namespace Overlay.Agent.Tests.Layout;

/// <summary>The layers stay layers: who may reference whom, among the projects under src.</summary>
public sealed class ProjectReferencesTests
{
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Overlay.Wire"] = [],
        ["Overlay.Rpc"] = [],
        ["Overlay.Dataplane"] = ["Overlay.Wire"],
        ["Overlay.Linux"] = ["Overlay.Dataplane", "Overlay.Wire"],
        ["Overlay.Control"] = ["Overlay.Dataplane", "Overlay.Wire", "Overlay.Rpc"],
        ["Overlay.Controller"] = ["Overlay.Control", "Overlay.Rpc"],
        ["Overlay.Agent"] = ["Overlay.Control", "Overlay.Dataplane", "Overlay.Linux", "Overlay.Rpc", "Overlay.Wire"],
        ["Overlay.Cli"] = ["Overlay.Rpc", "Overlay.Wire"],
        ["Overlay.Csi"] = ["Overlay.Rpc", "Overlay.Linux"],
    };

    public static TheoryData<string> Projects => [.. Directory.GetDirectories(Source()).Select(folder => Path.GetFileName(folder)!)];

    [Theory]
    [MemberData(nameof(Projects))]
    public void ProjectFile_OfEachProject_ReferencesOnlyWhatItsLayerAllows(string project)
    {
        var file = XDocument.Load(Path.Combine(Source(), project, $"{project}.csproj"));

        IEnumerable<string> references = file.Descendants("ProjectReference")
            .Select(reference => Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value));

        Assert.Contains(project, Allowed.Keys);
        Assert.Empty(references.Except(Allowed[project]));
    }

    [Fact]
    public void ProjectFiles_ButThatOfLinux_AllowNoUnsafeCode()
    {
        IEnumerable<string> unsafeProjects = Directory.GetFiles(Source(), "*.csproj", SearchOption.AllDirectories)
            .Where(file => XDocument.Load(file).Descendants("AllowUnsafeBlocks").Any(element => element.Value == "true"))
            .Select(file => Path.GetFileNameWithoutExtension(file));

        Assert.Equal(["Overlay.Linux"], unsafeProjects);
    }

    private static string Source() => Path.Combine(Repository.Root(), "src");
}
