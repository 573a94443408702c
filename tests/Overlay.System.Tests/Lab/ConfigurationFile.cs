namespace Overlay.SystemTests.Lab;

/// <summary>A configuration on disk, for a daemon that is not meant to come up.</summary>
internal sealed class ConfigurationFile : IDisposable
{
    private readonly DirectoryInfo _directory = NetworkNamespace.CreateDirectory();

    public ConfigurationFile(string text) => File.WriteAllText(Path, text);

    public ConfigurationFile(DaemonConfiguration configuration) =>
        File.WriteAllText(Path, configuration.ToYaml(global::System.IO.Path.Combine(_directory.FullName, "overlayd.sock")));

    public string Path => global::System.IO.Path.Combine(_directory.FullName, "overlayd.yaml");

    /// <summary>Replaces a text that occurs once.</summary>
    /// <returns>The number of its line.</returns>
    public int Replace(string text, string replacement)
    {
        string[] lines = File.ReadAllLines(Path);
        int index = Enumerable.Range(0, lines.Length).Single(line => lines[line].Contains(text, StringComparison.Ordinal));
        lines[index] = lines[index].Replace(text, replacement, StringComparison.Ordinal);
        File.WriteAllLines(Path, lines);
        return index + 1;
    }

    public void Dispose() => _directory.Delete(recursive: true);
}
