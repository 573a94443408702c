namespace Overlay.Testing;

/// <summary>npm's <c>@grpc/grpc-js</c> in the versions of <c>tests/grpc-js</c>: a gRPC implementation that is not ours.</summary>
public static class GrpcJs
{
    private static readonly Lazy<string> Installed = new(Install);

    /// <summary>The folder whose <c>node_modules</c> holds it.</summary>
    public static string Modules => Installed.Value;

    private static string Install()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (!File.Exists(Path.Combine(folder.FullName, "Overlay.sln"))) continue;
            return ProgramRun.Check(Path.Combine(folder.FullName, "scripts", "lib", "grpc-js")).Lines[^1];
        }
        throw new DirectoryNotFoundException($"no Overlay.sln above {AppContext.BaseDirectory}");
    }
}
