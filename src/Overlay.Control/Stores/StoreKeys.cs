using System.Buffers;

namespace Overlay.Control.Stores;

/// <summary>Keys are printable ASCII, so that every store sorts them alike and an administrator can read them.</summary>
internal static class StoreKeys
{
    public const int MostLength = 512;

    private static readonly SearchValues<char> Printable =
        SearchValues.Create([.. Enumerable.Range('!', '~' - '!').Select(code => (char)code)]);

    /// <exception cref="ArgumentException">The key is empty, longer than 512 characters or has others than '!' to '}'.</exception>
    public static string Check(string key) =>
        key.Length is > 0 and <= MostLength && !key.AsSpan().ContainsAnyExcept(Printable)
            ? key
            : throw new ArgumentException($"'{key}' cannot be a key: 1 to {MostLength} characters from '!' to '}}'", nameof(key));

    /// <summary>The least string that is greater than every key with the prefix.</summary>
    public static string End(string prefix) => Check(prefix) + '~';
}
