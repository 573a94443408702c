namespace Overlay.Control.Configuration.Yaml;

/// <summary>A value of a YAML document that knows its line.</summary>
public abstract class YamlNode(int line)
{
    /// <summary>From 1.</summary>
    public int Line { get; } = line;

    /// <summary>How to call it in an error.</summary>
    public abstract string Kind { get; }
}

public sealed class YamlScalar(int line, string text, bool isPlain) : YamlNode(line)
{
    public string Text { get; } = text;

    /// <summary>True for what YAML's core schema reads as null: nothing, or ~ or null without quotes.</summary>
    public bool IsNull { get; } = isPlain && text is "" or "~" or "null" or "Null" or "NULL";

    public override string Kind => IsNull ? "nothing" : $"the value '{Text}'";
}

public sealed class YamlSequence(int line, IReadOnlyList<YamlNode> items) : YamlNode(line)
{
    public IReadOnlyList<YamlNode> Items { get; } = items;

    public override string Kind => "a list";
}

public sealed class YamlMapping(int line, IReadOnlyList<YamlEntry> entries) : YamlNode(line)
{
    public IReadOnlyList<YamlEntry> Entries { get; } = entries;

    public override string Kind => "a mapping";
}

public readonly record struct YamlEntry(string Key, int Line, YamlNode Value);
