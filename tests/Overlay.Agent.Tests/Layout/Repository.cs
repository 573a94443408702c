namespace Overlay.Agent.Tests.Layout;

/// <summary>The working tree that the tests were built in.</summary>
internal static class Repository
{
    public static string Root()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Overlay.sln"))) return folder.FullName;
        }
        throw new DirectoryNotFoundException($"no Overlay.sln above {AppContext.BaseDirectory}");
    }
}
