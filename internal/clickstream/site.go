package clickstream

import "strconv"

const shop = "https://shop.example"

// sitemap is the home page, the categories, and the products of each, most visited first.
func sitemap() []string {
	pages := []string{"/"}
	for _, noun := range nouns {
		pages = append(pages, "/category/"+noun)
	}
	number := 1000
	for round := range 12 {
		for i, adjective := range adjectives {
			for j, noun := range nouns {
				if (i+j+round)%3 != 0 {
					continue
				}
				number++
				pages = append(pages, "/product/"+strconv.Itoa(number)+"-"+adjective+"-"+noun)
			}
		}
	}
	return append(pages, "/basket", "/account", "/help/returns", "/help/shipping")
}

var adjectives = []string{
	"alpine", "basic", "classic", "coastal", "compact", "cotton", "double", "everyday", "foldable", "heavy",
	"insulated", "light", "linen", "merino", "nordic", "outdoor", "quick-dry", "recycled", "slim", "sturdy",
	"thermal", "trail", "urban", "vintage", "waterproof", "wide", "winter", "wool",
}

var nouns = []string{
	"backpack", "belt", "boots", "bottle", "cap", "gloves", "jacket", "jeans", "lamp", "mug", "pants",
	"sandals", "scarf", "shirt", "shoes", "shorts", "socks", "sunglasses", "sweater", "tent", "towel",
	"umbrella", "vest", "wallet", "watch",
}

// referrers are where visits begin. A search engine is the usual case and so stands here more than once; an
// empty one is a typed address or a bookmark.
var referrers = []string{
	"https://www.search.example/", "https://www.search.example/", "https://www.search.example/",
	"https://www.search.example/", "https://find.example/", "", "", "",
	"https://news.example/tech", "https://social.example/feed", "https://social.example/feed",
	"https://video.example/watch", "https://mail.example/", "https://blog.example/best-tents",
	"https://prices.example/compare",
}

// userAgents are real ones, the frequent ones more than once, and a crawler.
var userAgents = []string{
	agentChrome, agentChrome, agentChrome, agentChromeMac, agentAndroid, agentAndroid, agentAndroid,
	agentPhone, agentPhone, agentPhone, agentSafari, agentFirefox, agentEdge, agentEdge, agentCrawler,
}

const (
	agentChrome    = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
	agentChromeMac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
	agentAndroid   = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36"
	agentPhone     = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
	agentSafari    = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15"
	agentFirefox   = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
	agentEdge      = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0"
	agentCrawler   = "Mozilla/5.0 (compatible; Examplebot/2.1; +https://www.search.example/bot.html)"
)
