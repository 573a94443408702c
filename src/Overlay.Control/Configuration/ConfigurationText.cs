namespace Overlay.Control.Configuration;

/// <summary>Reads the text of a configuration file.</summary>
public static class ConfigurationText
{
    /// <returns>Null, with the reason among the problems, where it cannot be read.</returns>
    public static string? Read(string path, ConfigurationProblems problems)
    {
        if (Directory.Exists(path))
        {
            problems.Add(0, "is a directory", "name a readable file with --config");
            return null;
        }
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            problems.Add(0, $"cannot be read: {exception.Message.TrimEnd('.')}", "name a readable file with --config");
            return null;
        }
    }
}
