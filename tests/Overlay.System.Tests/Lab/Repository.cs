namespace Overlay.SystemTests.Lab;

/// <summary>Where the things under test lie.</summary>
internal static class Repository
{
    private static readonly string Root = FindRoot(AppContext.BaseDirectory);

    /// <summary>The daemon, as built with the tests.</summary>
    public static string Daemon => Program("Overlay.Agent", "overlayd");

    /// <summary>The command line client, as built with the tests.</summary>
    public static string Client => Program("Overlay.Cli", "overlay");

    /// <summary>The CNI plugin, as built with the daemon.</summary>
    public static string CniPlugin => Program("Overlay.Agent", "overlay-cni");

    /// <summary>The controller, as built with the tests.</summary>
    public static string Controller => Program("Overlay.Controller", "overlay-controller");

    /// <param name="relative">Path of a file of the checkout, from its top.</param>
    public static string File(string relative) => Path.Combine(Root, relative);

    private static string Program(string project, string name)
    {
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Name;
        return File($"artifacts/bin/{project}/{configuration}/{name}");
    }

    private static string FindRoot(string from)
    {
        for (DirectoryInfo? directory = new(from); directory is not null; directory = directory.Parent)
        {
            if (directory.GetFiles("Overlay.sln").Length > 0) return directory.FullName;
        }
        throw new DirectoryNotFoundException($"no Overlay.sln above {from}: run the tests from a checkout");
    }
}
