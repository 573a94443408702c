using System.Globalization;
using Overlay.Testing;

namespace Overlay.Bench.Tests;

/// <summary>The measurement of controllers runs through, with few nodes.</summary>
public sealed class ScaleTests
{
    private const int Nodes = 20;
    private const int TooSlow = 3;

    [Fact]
    public void Scale_FewNodesOfTwoControllersOnEtcd_HoldAddressesOfTheirOwnAndAreMeasured()
    {
        ProgramRun run = ProgramRun.Start(
            Program("Overlay.Scale"), "--controllers", "2", "--churn-seconds", "1", "--idle-seconds", "1", Program("Overlay.Controller", "overlay-controller"), "etcd",
            Nodes.ToString(CultureInfo.InvariantCulture));

        // How fast it is, is not judged here.
        Assert.True(run.ExitCode is 0 or TooSlow, $"{run.ExitCode}: {run.Output}{run.Errors}");
        Assert.Contains(", 0 refused, ", run.Lines[0], StringComparison.Ordinal);
        string[] figures = run.Lines[2].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(Nodes, int.Parse(figures[0], CultureInfo.InvariantCulture));
        Assert.All(figures[1..7], figure => Assert.True(double.Parse(figure, CultureInfo.InvariantCulture) >= 0, run.Output));
        Assert.StartsWith("       etcd: ", run.Lines[3], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--controllers", "0", "controller", "etcd", "20")]
    [InlineData("controller", "other", "20")]
    [InlineData("controller", "etcd", "many")]
    public void Scale_WrongArguments_TellsItsUsage(params string[] arguments)
    {
        ProgramRun run = ProgramRun.Start(Program("Overlay.Scale"), arguments);

        Assert.Equal(2, run.ExitCode);
        Assert.StartsWith("usage: ", run.Errors, StringComparison.Ordinal);
    }

    /// <summary>A program beside this one in the folder of all that is built.</summary>
    private static string Program(string project, string? name = null)
    {
        string own = Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory);
        return Path.Combine(own, "..", "..", project, Path.GetFileName(own), name ?? project);
    }
}
