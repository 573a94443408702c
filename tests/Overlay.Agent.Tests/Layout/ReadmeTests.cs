using System.Text.RegularExpressions;

namespace Overlay.Agent.Tests.Layout;

/// <summary>What the README says is tested, is.</summary>
public sealed partial class ReadmeTests
{
    [Fact]
    public void Readme_EachTestItNames_Exists()
    {
        string root = Repository.Root();
        string[] named = [.. TestName().Matches(File.ReadAllText(Path.Combine(root, "README.md"))).Select(match => match.Groups[1].Value)];
        string sources = string.Join('\n', Directory.GetFiles(Path.Combine(root, "tests"), "*Tests.cs", SearchOption.AllDirectories)
            .Select(File.ReadAllText));

        Assert.NotEmpty(named);
        Assert.All(named, name => Assert.Matches($@"\bclass {name}\b", sources));
    }

    [GeneratedRegex("`([A-Za-z]+Tests)`")]
    private static partial Regex TestName();
}
