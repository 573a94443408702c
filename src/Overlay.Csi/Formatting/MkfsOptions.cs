using System.Text.RegularExpressions;

namespace Overlay.Csi.Formatting;

/// <summary>Options of a StorageClass for the programs that make file systems: those that shape the file system, none that name another file.</summary>
internal static partial class MkfsOptions
{
    private static readonly Dictionary<string, string> Letters = new(StringComparer.Ordinal)
    {
        ["ext4"] = "bCEGgIiJmNOT",
        ["xfs"] = "bdilmnrs",
        ["btrfs"] = "dmnsO",
    };

    /// <summary>Why the options are not taken; null where they are.</summary>
    public static string? Refusal(string type, string options)
    {
        if (!Letters.TryGetValue(type, out string? letters)) return options.Length == 0 ? null : "raw block volumes are not formatted";
        string[] words = options.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        for (int index = 0; index < words.Length; index += 2)
        {
            if (words[index] is not ['-', var letter] || !letters.Contains(letter, StringComparison.Ordinal))
            {
                return $"'{words[index]}' is not taken for {type}: there are {string.Join(' ', letters.Select(known => $"-{known}"))}, a value behind each";
            }
            if (index + 1 == words.Length || !Value().IsMatch(words[index + 1]) || NamesAFile().IsMatch(words[index + 1]))
            {
                return $"{words[index]} '{words.ElementAtOrDefault(index + 1)}': give a value without spaces, '/' or the name of another device";
            }
        }
        return null;
    }

    [GeneratedRegex("^[A-Za-z0-9_^][A-Za-z0-9_=,.:^%+-]*$")]
    private static partial Regex Value();

    [GeneratedRegex("(^|,)(name|file|logdev|rtdev|device|protofile|size|agsize|uuid|offset)=|(^|,)journal_dev(,|$)", RegexOptions.IgnoreCase)]
    private static partial Regex NamesAFile();
}
