using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Overlay.Control.Configuration.Yaml;

/// <summary>
/// Reads one YAML document of mappings, lists and scalars. Duplicate keys are refused, and so is what would make the text mean something
/// else than it shows: anchors, aliases, tags, merge keys and further documents.
/// </summary>
public sealed class YamlDocumentReader
{
    private const int MaxDepth = 16;

    private readonly Parser _parser;
    private readonly ConfigurationProblems _problems;

    private YamlDocumentReader(TextReader text, ConfigurationProblems problems)
    {
        _parser = new Parser(text);
        _problems = problems;
    }

    /// <summary>The document's root, or null with the reason among the problems.</summary>
    public static YamlMapping? Read(string text, ConfigurationProblems problems)
    {
        var reader = new YamlDocumentReader(new StringReader(text), problems);
        try
        {
            return reader.ReadDocument();
        }
        catch (YamlException exception)
        {
            problems.Add(LineOf(exception, text), $"not YAML: {exception.Message.TrimEnd('.')}", "correct the syntax");
        }
        catch (InvalidOperationException)
        {
            // The scanner throws this where a flow list or mapping runs into the next block.
            int line = (int)(reader._parser.Current?.End.Line ?? 1);
            problems.Add(line, "not YAML: what begins in this line does not end", "close every bracket, brace and quote");
        }
        return null;
    }

    /// <summary>For a tab the parser names the line where the mapping begins; the tab's is what the operator looks for.</summary>
    private static int LineOf(YamlException exception, string text)
    {
        if (exception.Message.Contains("tab as indentation", StringComparison.Ordinal))
        {
            string[] lines = text.Split('\n');
            int tab = Array.FindIndex(lines, line => line.AsSpan(0, line.Length - line.TrimStart().Length).Contains('\t'));
            if (tab >= 0) return tab + 1;
        }
        return (int)exception.End.Line;
    }

    private YamlMapping? ReadDocument()
    {
        _parser.Consume<StreamStart>();
        if (!_parser.TryConsume<DocumentStart>(out _))
        {
            _problems.Add(0, "the file is empty", "write at least node, underlay and segments");
            return null;
        }
        YamlNode root = ReadNode(0);
        _parser.Consume<DocumentEnd>();
        if (_parser.TryConsume<DocumentStart>(out DocumentStart? next))
            _problems.Add((int)next.Start.Line, "a second document begins with '---'", "keep one document in the file");
        if (root is YamlMapping mapping) return mapping;
        _problems.Add(root.Line, $"the document is {root.Kind}", "write a mapping with node, underlay and segments");
        return null;
    }

    private YamlNode ReadNode(int depth)
    {
        if (_parser.Current is NodeEvent node) RefuseProperties(node);
        if (depth == MaxDepth)
        {
            ParsingEvent deep = _parser.Current!;
            throw new YamlException(deep.Start, deep.End, $"nested deeper than {MaxDepth} levels");
        }
        if (_parser.TryConsume<YamlDotNet.Core.Events.Scalar>(out var scalar))
            return new YamlScalar((int)scalar.Start.Line, scalar.Value, scalar.Style == ScalarStyle.Plain);
        if (_parser.TryConsume<SequenceStart>(out SequenceStart? sequence)) return ReadSequence((int)sequence.Start.Line, depth);
        if (_parser.TryConsume<MappingStart>(out MappingStart? mapping)) return ReadMapping((int)mapping.Start.Line, depth);
        AnchorAlias alias = _parser.Consume<AnchorAlias>();
        throw new YamlException(alias.Start, alias.End, $"the alias '*{alias.Value}' is not allowed here");
    }

    private YamlSequence ReadSequence(int line, int depth)
    {
        var items = new List<YamlNode>();
        while (!_parser.TryConsume<SequenceEnd>(out _)) items.Add(ReadNode(depth + 1));
        return new YamlSequence(line, items);
    }

    private YamlMapping ReadMapping(int line, int depth)
    {
        var entries = new List<YamlEntry>();
        while (!_parser.TryConsume<MappingEnd>(out _))
        {
            YamlNode key = ReadNode(depth + 1);
            YamlNode value = ReadNode(depth + 1);
            if (key is not YamlScalar { IsNull: false } name)
            {
                _problems.Add(key.Line, $"{key.Kind} stands where a key should", "write 'key: value'");
                continue;
            }
            YamlEntry first = entries.Find(entry => entry.Key == name.Text);
            if (first.Key is null) entries.Add(new YamlEntry(name.Text, key.Line, value));
            else _problems.Add(key.Line, $"the key '{name.Text}' was given in line {first.Line} already", "keep one of them");
        }
        return new YamlMapping(line, entries);
    }

    private void RefuseProperties(NodeEvent node)
    {
        if (!node.Anchor.IsEmpty)
            _problems.Add((int)node.Start.Line, $"the anchor '&{node.Anchor.Value}' is not allowed here", "write the value out");
        if (!node.Tag.IsEmpty)
            _problems.Add((int)node.Start.Line, $"the tag '{node.Tag.Value}' is not allowed here", "leave it out");
    }
}
