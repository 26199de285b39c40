package policies

import (
	"slices"
	"strings"
)

// knownAgent is what a program calls itself in User-Agent, as its owners say. The
// list is short: what matters are those that say who they are, and all others
// send what browsers send.
type knownAgent struct {
	word, category, source string
}

// knownAgents are sorted by category. Owners rename their programs and move their
// pages: a source is where to look first.
var knownAgents = []knownAgent{
	{"GPTBot", "ai-crawler", "https://platform.openai.com/docs/bots"},
	{"ClaudeBot", "ai-crawler", "https://support.anthropic.com/en/articles/8896518"},
	{"CCBot", "ai-crawler", "https://commoncrawl.org/ccbot"},
	{"meta-externalagent", "ai-crawler", "https://developers.facebook.com/docs/sharing/webmasters/web-crawlers"},
	{"Amazonbot", "ai-crawler", "https://developer.amazon.com/amazonbot"},
	{"Bytespider", "ai-crawler", "https://github.com/ai-robots-txt/ai.robots.txt"},
	{"Diffbot", "ai-crawler", "https://docs.diffbot.com"},

	{"OAI-SearchBot", "ai-assistant", "https://platform.openai.com/docs/bots"},
	{"ChatGPT-User", "ai-assistant", "https://platform.openai.com/docs/bots"},
	{"Claude-User", "ai-assistant", "https://support.anthropic.com/en/articles/8896518"},
	{"Claude-SearchBot", "ai-assistant", "https://support.anthropic.com/en/articles/8896518"},
	{"PerplexityBot", "ai-assistant", "https://docs.perplexity.ai/guides/bots"},
	{"Perplexity-User", "ai-assistant", "https://docs.perplexity.ai/guides/bots"},
	{"meta-externalfetcher", "ai-assistant", "https://developers.facebook.com/docs/sharing/webmasters/web-crawlers"},

	{"Googlebot", "search", "https://developers.google.com/search/docs/crawling-indexing/google-common-crawlers"},
	{"bingbot", "search", "https://www.bing.com/webmasters/help/which-crawlers-does-bing-use-8c184ec0"},
	{"Applebot", "search", "https://support.apple.com/en-us/119829"},
	{"DuckDuckBot", "search", "https://duckduckgo.com/duckduckgo-help-pages/results/duckduckbot"},
	{"YandexBot", "search", "https://yandex.com/support/webmaster/robot-workings/check-yandex-robots.html"},
	{"Baiduspider", "search", "https://help.baidu.com/question?prod_id=99&class=0&id=3001"},

	{"AhrefsBot", "seo", "https://ahrefs.com/robot"},
	{"SemrushBot", "seo", "https://www.semrush.com/bot/"},
	{"MJ12bot", "seo", "https://mj12bot.com"},
	{"DotBot", "seo", "https://moz.com/help/moz-procedures/crawlers/dotbot"},
	{"DataForSeoBot", "seo", "https://dataforseo.com/dataforseo-bot"},

	{"Scrapy", "scraper", "https://docs.scrapy.org/en/latest/topics/settings.html"},
	{"HTTrack", "scraper", "https://www.httrack.com/html/fcguide.html"},
	{"colly", "scraper", "https://github.com/gocolly/colly"},

	{"sqlmap", "scanner", "https://github.com/sqlmapproject/sqlmap"},
	{"Nikto", "scanner", "https://github.com/sullo/nikto"},
	{"Nuclei", "scanner", "https://github.com/projectdiscovery/nuclei"},
	{"Nmap Scripting Engine", "scanner", "https://nmap.org/nsedoc/lib/http.html"},
	{"zgrab", "scanner", "https://github.com/zmap/zgrab2"},
	{"WPScan", "scanner", "https://github.com/wpscanteam/wpscan"},

	{"curl", "tool", "https://curl.se/docs/manpage.html"},
	{"Wget", "tool", "https://www.gnu.org/software/wget/manual/wget.html"},
	{"python-requests", "tool", "https://requests.readthedocs.io"},
	{"python-httpx", "tool", "https://www.python-httpx.org"},
	{"aiohttp", "tool", "https://docs.aiohttp.org"},
	{"Go-http-client", "tool", "https://pkg.go.dev/net/http"},
	{"okhttp", "tool", "https://square.github.io/okhttp/"},
	{"axios", "tool", "https://axios-http.com"},
	{"libwww-perl", "tool", "https://metacpan.org/dist/libwww-perl"},
	{"PostmanRuntime", "tool", "https://github.com/postmanlabs/postman-runtime"},
}

// crawler is one that can prove what it says it is: the address that it comes from
// has a name in a domain of its owner, and that name has the address.
type crawler struct {
	word    string // of its user agent
	domains []string
	source  string
}

// knownCrawlers are those whose owners say how. DuckDuckBot has no such names.
// Googlebot may not have one in googleusercontent.com: the machines that Google
// lets to others have names there.
var knownCrawlers = []crawler{
	{"Googlebot", []string{"googlebot.com", "google.com"}, "https://developers.google.com/search/docs/crawling-indexing/verifying-googlebot"},
	{"bingbot", []string{"search.msn.com"}, "https://www.bing.com/webmasters/help/how-to-verify-bingbot-3905dc26"},
	{"Applebot", []string{"applebot.apple.com"}, "https://support.apple.com/en-us/119829"},
	{"YandexBot", []string{"yandex.ru", "yandex.net", "yandex.com"}, "https://yandex.com/support/webmaster/robot-workings/check-yandex-robots.html"},
	{"Baiduspider", []string{"baidu.com", "baidu.jp"}, "https://help.baidu.com/question?prod_id=99&class=0&id=3001"},
	{"Amazonbot", []string{"crawl.amazonbot.amazon"}, "https://developer.amazon.com/amazonbot"},
	{"CCBot", []string{"crawl.commoncrawl.org"}, "https://commoncrawl.org/ccbot"},
}

// agentsDoc is the list in words.
func agentsDoc() string {
	var b strings.Builder
	last := ""
	for _, a := range knownAgents {
		switch {
		case a.category != last && last != "":
			b.WriteString("; ")
			fallthrough
		case last == "":
			b.WriteString(a.category + " is ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(a.word)
		last = a.category
	}
	return b.String()
}

// agentWords are the words of some categories.
func agentWords(categories []string) (words []string) {
	for _, a := range knownAgents {
		if slices.Contains(categories, a.category) {
			words = append(words, a.word)
		}
	}
	return words
}
